//! The two float types that training computes in, and an exponential that vectorises and is the same everywhere.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array};
use arrow::buffer::ScalarBuffer;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `f32` or `f64`.
///
/// Every operation is one IEEE operation (a fused multiply-add included), so that results do not depend on the
/// instruction set that the kernels are dispatched to.
pub(crate) trait Real:
    Copy + Send + Sync + Default + PartialOrd + Debug + Serialize + DeserializeOwned + 'static
{
    /// The name in states and bundles.
    const NAME: &'static str;

    fn from_f64(x: f64) -> Self;
    fn from_f32(x: f32) -> Self;
    fn to_f64(self) -> f64;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// e to the power of `self <= 0`, within two units in the last place; 0 below the smallest normal number.
    fn exp_of_negative(self) -> Self;
    /// Moves the values into an Arrow array.
    fn into_array(values: Vec<Self>) -> ArrayRef;
    /// Takes the values out of an Arrow array, without a copy where it is the only owner; `None` for another type.
    fn from_array(array: ArrayRef) -> Option<Vec<Self>>;
}

macro_rules! arrow_conversions {
    ($array:ty) => {
        fn into_array(values: Vec<Self>) -> ArrayRef {
            Arc::new(<$array>::new(ScalarBuffer::from(values), None))
        }

        fn from_array(array: ArrayRef) -> Option<Vec<Self>> {
            let typed = array.as_any().downcast_ref::<$array>()?.clone();
            drop(array);
            let (_, values, _) = typed.into_parts();
            Some(
                values
                    .into_inner()
                    .into_vec::<Self>()
                    .unwrap_or_else(|shared| shared.typed_data::<Self>().to_vec()),
            )
        }
    };
}

macro_rules! arithmetic {
    () => {
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self + other
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            self - other
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            self * other
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            self.mul_add(a, b)
        }
    };
}

impl Real for f32 {
    const NAME: &'static str = "f32";

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    arithmetic!();

    // Cody-Waite reduction by ln 2 and a minimax polynomial, as in Cephes' expf.
    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer held in the low bits
        const SMALLEST: f32 = -87.0;
        let x = if self < SMALLEST { SMALLEST } else { self };
        let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
        let n = shifted - MAGIC;
        let r = n.mul_add(-0.693_359_4, x);
        let r = n.mul_add(2.121_944_4e-4, r);
        let mut p = 1.987_569_1e-4_f32;
        p = p.mul_add(r, 1.398_199_9e-3);
        p = p.mul_add(r, 8.333_452e-3);
        p = p.mul_add(r, 4.166_579_6e-2);
        p = p.mul_add(r, 1.666_666_5e-1);
        p = p.mul_add(r, 0.5);
        let e = (p * r).mul_add(r, r) + 1.0;
        let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
        let value = e * f32::from_bits(exponent);
        if self < SMALLEST { 0.0 } else { value }
    }

    arrow_conversions!(Float32Array);
}

impl Real for f64 {
    const NAME: &'static str = "f64";

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        f64::from(x)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    arithmetic!();

    // The same reduction; the polynomial is the Taylor series to degree 13, exact to rounding on |r| <= ln(2)/2.
    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
        const SMALLEST: f64 = -708.0;
        let x = if self < SMALLEST { SMALLEST } else { self };
        let shifted = x.mul_add(std::f64::consts::LOG2_E, MAGIC);
        let n = shifted - MAGIC;
        let r = n.mul_add(-6.931_471_803_691_238e-1, x);
        let r = n.mul_add(-1.908_214_929_270_587_7e-10, r);
        let mut p = 1.0 / 6_227_020_800.0;
        p = p.mul_add(r, 1.0 / 479_001_600.0);
        p = p.mul_add(r, 1.0 / 39_916_800.0);
        p = p.mul_add(r, 1.0 / 3_628_800.0);
        p = p.mul_add(r, 1.0 / 362_880.0);
        p = p.mul_add(r, 1.0 / 40_320.0);
        p = p.mul_add(r, 1.0 / 5_040.0);
        p = p.mul_add(r, 1.0 / 720.0);
        p = p.mul_add(r, 1.0 / 120.0);
        p = p.mul_add(r, 1.0 / 24.0);
        p = p.mul_add(r, 1.0 / 6.0);
        p = p.mul_add(r, 0.5);
        let e = (p * r).mul_add(r, r) + 1.0;
        let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(1023) << 52;
        let value = e * f64::from_bits(exponent);
        if self < SMALLEST { 0.0 } else { value }
    }

    arrow_conversions!(Float64Array);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 0.0035;
            let exact = x.exp();
            let got = Real::exp_of_negative(x);
            assert!(
                (got - exact).abs() <= 2.0 * f64::EPSILON * exact,
                "exp({x}) = {got}, not {exact}"
            );
            let x = -(i as f32) * 0.0004;
            let exact = f64::from(x).exp();
            let got = f64::from(Real::exp_of_negative(x));
            assert!(
                (got - exact).abs() <= 2.0 * f64::from(f32::EPSILON) * exact,
                "exp({x}) = {got}, not {exact}"
            );
        }
        assert_eq!(Real::exp_of_negative(0.0_f32), 1.0);
        assert_eq!(Real::exp_of_negative(0.0_f64), 1.0);
        assert_eq!(Real::exp_of_negative(-1e30_f32), 0.0);
        assert_eq!(Real::exp_of_negative(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn arrays_give_the_values_back() {
        let values = vec![1.5_f32, -2.0];
        assert_eq!(f32::from_array(f32::into_array(values.clone())).unwrap(), values);
        assert!(f64::from_array(f32::into_array(values)).is_none());
    }
}
