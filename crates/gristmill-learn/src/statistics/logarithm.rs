//! Natural logarithms that are the same on every machine: those of the C library depend on its version and on whether the
//! processor multiplies and adds in one step.
//!
//! A number is 2^k × (1 + f), with 1 + f between the roots of 1/2 and of 2, and with s = f / (2 + f) the logarithm of
//! 1 + f is 2 × (s + s³/3 + s⁵/5 + …). Both are within one unit in the last place.

/// ln 2, its low bits cut off, so that its product with an exponent is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
/// The bits that were cut off.
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// The natural logarithm.
#[inline]
pub(crate) fn ln(x: f64) -> f64 {
    const SUBNORMAL: f64 = 18_014_398_509_481_984.0; // 2^54
    if x > 0.0 && x < f64::INFINITY {
        let (k, f) = if x < f64::MIN_POSITIVE {
            let (k, f) = reduce(x * SUBNORMAL);
            (k - 54.0, f)
        } else {
            reduce(x)
        };
        sum(k, f, 0.0)
    } else if x == 0.0 {
        f64::NEG_INFINITY
    } else if x < 0.0 {
        f64::NAN
    } else {
        x
    }
}

/// The natural logarithm of `1 + x`, exact also where `1 + x` is rounded.
#[inline]
pub(crate) fn ln_1p(x: f64) -> f64 {
    if x > -0.2928 && x < 0.4142 {
        // The series is about x itself.
        return if x.abs() < f64::EPSILON / 2.0 {
            x
        } else {
            sum(0.0, x, 0.0)
        };
    }
    let u = 1.0 + x;
    if !(u > 0.0 && u < f64::INFINITY) {
        return ln(u);
    }
    // What rounding took from 1 + x.
    let lost = if u >= 2.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let (k, f) = reduce(u);
    sum(k, f, lost / u)
}

/// `k` and `f` of a positive, normal number.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64) {
    const ROOT_OF_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const EXPONENT: u64 = 0xfff0_0000_0000_0000;
    let above = x.to_bits().wrapping_sub(ROOT_OF_HALF);
    let k = (above as i64) >> 52;
    let m = f64::from_bits(x.to_bits().wrapping_sub(above & EXPONENT));
    (k as f64, m - 1.0)
}

/// The logarithm of 2^k × (1 + f), plus a small correction.
#[inline(always)]
fn sum(k: f64, f: f64, correction: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let mut r = 2.0 / 21.0;
    r = r * z + 2.0 / 19.0;
    r = r * z + 2.0 / 17.0;
    r = r * z + 2.0 / 15.0;
    r = r * z + 2.0 / 13.0;
    r = r * z + 2.0 / 11.0;
    r = r * z + 2.0 / 9.0;
    r = r * z + 2.0 / 7.0;
    r = r * z + 2.0 / 5.0;
    r = r * z + 2.0 / 3.0;
    r *= z;
    // 2s is f - f²/2 + s × f²/2: f comes last, as it is, and only what is small was rounded.
    let half = 0.5 * f * f;
    let low = s * (half + r) + (k * LN_2_LOW + correction);
    k * LN_2_HIGH - ((half - low) - f)
}

#[cfg(test)]
#[allow(
    clippy::approx_constant,
    clippy::excessive_precision,
    reason = "numbers as another program wrote them"
)]
mod tests {
    use super::*;

    /// A number, its logarithm, and what that is short of the exact one: computed with 60 digits.
    #[rustfmt::skip]
    const LN: &[(f64, f64, f64)] = &[
        (5e-324, -744.4400719213812, -4.422e-14),
        (2.2250738585072014e-308, -708.3964185322641, -2.748e-14),
        (1e-300, -690.7755278982137, -2.367e-14),
        (1e-10, -23.025850929940457, 4.308e-16),
        (0.1, -2.3025850929940455, -1.715e-16),
        (0.5, -0.6931471805599453, -2.319e-17),
        (0.7071067811865475, -0.34657359027997275, 1.078e-17),
        (0.7071067811865476, -0.3465735902799726, 1.252e-18),
        (0.9, -0.10536051565782628, 4.810e-18),
        (0.999999999999, -9.999778782803785e-13, 4.634e-29),
        (0.9999999999999999, -1.1102230246251565e-16, -6.163e-33),
        (1.0000000000000002, 2.2204460492503128e-16, 3.649e-48),
        (1.0000001, 9.999999505838704e-08, 1.525e-24),
        (1.1, 0.09531017980432493, 5.927e-18),
        (1.414213562373095, 0.3465735902799726, -2.154e-17),
        (1.4142135623730951, 0.3465735902799727, 2.444e-17),
        (1.5, 0.4054651081081644, -2.881e-18),
        (2.0, 0.6931471805599453, 2.319e-17),
        (2.718281828459045, 1.0, -5.318e-17),
        (3.0, 1.0986122886681098, -9.071e-17),
        (10.0, 2.302585092994046, -2.171e-16),
        (1000.5, 6.908255154023788, 1.194e-16),
        (12345678.9, 16.32881667317397, 9.272e-16),
        (1000000000000000.0, 34.538776394910684, 1.185e-15),
        (1.7976931348623157e+308, 709.782712893384, 2.364e-14),
        (0.8713345315061618, -0.13772929836431438, 6.195e-18),
        (1.0918450422130852, 0.08786896451829763, -4.503e-18),
        (0.966367719914617, -0.034210854765691745, -1.276e-18),
        (1.13482242778926, 0.12647618740659117, 9.700e-18),
        (1.1505186189577987, 0.1402128137241759, -9.847e-18),
        (0.7471807786526654, -0.2914481168996356, -8.087e-18),
        (0.7094809539195094, -0.3432216271123219, 1.904e-17),
        (1.3029777391094512, 0.26465221366020064, -1.199e-17),
        (0.8867348903161655, -0.1202092248689369, -5.069e-18),
        (0.8687182919536214, -0.1407363812398722, -1.798e-18),
        (1.4168642815675332, 0.3484461774111898, 7.017e-18),
        (1.0385897254161625, 0.037863759654482736, 2.175e-18),
    ];
    /// The same of 1 + x.
    #[rustfmt::skip]
    const LN_1P: &[(f64, f64, f64)] = &[
        (5e-324, 5e-324, 0.000e+00),
        (1e-300, 1e-300, 0.000e+00),
        (1e-20, 1e-20, -5.000e-41),
        (5.551115123125783e-17, 5.551115123125783e-17, -1.541e-33),
        (1.1102230246251565e-16, 1.1102230246251565e-16, -6.163e-33),
        (1e-15, 9.999999999999995e-16, 9.165e-32),
        (1e-10, 9.999999999500001e-11, -3.390e-27),
        (1e-05, 9.999950000333332e-06, -2.387e-22),
        (0.01, 0.009950330853168083, -2.878e-19),
        (0.1, 0.09531017980432487, -3.808e-19),
        (0.25, 0.22314355131420976, -9.091e-18),
        (0.41421356237309, 0.3465735902799691, -1.780e-17),
        (0.4142135623731, 0.34657359027997614, -2.298e-18),
        (0.4143, 0.3466347090443171, -8.893e-19),
        (0.5, 0.4054651081081644, -2.881e-18),
        (0.9, 0.6418538861723948, -1.757e-17),
        (0.999, 0.692647055518263, 1.149e-17),
        (1.0, 0.6931471805599453, 2.319e-17),
        (1.5, 0.9162907318741551, -4.141e-17),
        (2.0, 1.0986122886681098, -9.071e-17),
        (3.7, 1.547562508716013, -3.388e-17),
        (100.0, 4.61512051684126, -2.282e-16),
        (123456.0, 11.723648196284437, -5.270e-16),
        (10000000000.0, 23.025850930040455, 1.374e-15),
        (9007199254740992.0, 36.7368005696771, 7.850e-16),
        (1e+300, 690.7755278982137, 2.375e-14),
        (-1e-10, -1.00000000005e-10, -3.390e-27),
        (-0.1, -0.10536051565782631, 1.726e-18),
        (-0.29, -0.3424903089467759, -1.758e-17),
        (-0.2929, -0.3465831803719419, -9.361e-18),
        (-0.5, -0.6931471805599453, -2.319e-17),
        (-0.9, -2.302585092994046, -4.969e-18),
        (-0.999999, -13.815510557935518, -4.739e-16),
        (0.8364614512743888, 0.6078405957356889, 2.505e-17),
        (0.47635320869933495, 0.38957499883710717, 4.913e-19),
        (0.6390681405441619, 0.4941278733600745, 2.203e-17),
        (0.15061642402352393, 0.14029781965729782, 1.190e-17),
        (0.6348606582851885, 0.4915575764270159, -5.560e-18),
        (0.8680453071432968, 0.6248925938718852, 2.635e-18),
        (0.5231812103833013, 0.42080104935867285, -1.645e-18),
        (0.7412518562014903, 0.5546043121279594, -3.872e-17),
        (0.6714114753695926, 0.5136684642847317, 2.016e-17),
        (0.0640314382269973, 0.06206493768876709, -3.204e-18),
        (0.7582302462868173, 0.5643077612711698, -3.580e-18),
        (0.5910995829313176, 0.464425338805637, 2.930e-18),
    ];

    #[test]
    fn logarithms_are_within_one_unit_in_the_last_place() {
        let units = |got: f64, (x, exact, rest): (f64, f64, f64)| {
            let unit = exact.abs().next_up() - exact.abs();
            let off = ((got - exact) - rest).abs() / unit;
            assert!(off <= 1.0, "of {x}: {got}, not {exact}, {off} units");
        };
        LN.iter().for_each(|row| units(ln(row.0), *row));
        LN_1P.iter().for_each(|row| units(ln_1p(row.0), *row));
    }

    /// Those of the system are within 0.6 units.
    #[test]
    fn logarithms_are_those_of_the_system_but_for_the_last_bits() {
        let close = |got: f64, other: f64, x: f64| {
            let unit = other.abs().next_up() - other.abs();
            assert!((got - other).abs() <= 2.0 * unit, "of {x}: {got}, {other}");
        };
        let mut state = 7_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let x = f64::from_bits(state >> 1);
            if x.is_finite() {
                close(ln(x), x.ln(), x);
                close(ln_1p(x), x.ln_1p(), x);
            }
            let near = (state >> 11) as f64 / (1_u64 << 53) as f64 * 3.0 + 1e-9;
            close(ln(near), near.ln(), near);
            close(ln_1p(near - 1.0), (near - 1.0).ln_1p(), near - 1.0);
        }
    }

    /// To the last bit, as a program in Python computes them with the same operations: no library of the system and no instruction
    /// that multiplies and adds in one step comes to that.
    #[test]
    fn logarithms_have_the_same_bits_everywhere() {
        let fold = |hash: u64, x: f64| (hash ^ x.to_bits()).wrapping_mul(0x100_0000_01b3);
        let (mut state, mut hashes) = (7_u64, [0xcbf2_9ce4_8422_2325; 2]);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let near = (state >> 11) as f64 / (1_u64 << 53) as f64 * 3.0 + 1e-9;
            hashes = [fold(hashes[0], ln(near)), fold(hashes[1], ln_1p(near - 1.0))];
        }
        assert_eq!(hashes, [0xb8cc_7ed7_dbc1_936f, 0xd0f1_568f_150c_ffab]);
    }

    #[test]
    fn what_has_no_logarithm_is_told_as_usual() {
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(1.0).to_bits(), 0);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert_eq!(ln_1p(0.0).to_bits(), 0);
        assert_eq!(ln_1p(-1.0), f64::NEG_INFINITY);
        assert_eq!(ln_1p(f64::INFINITY), f64::INFINITY);
        assert!(
            ln(-1.0).is_nan() && ln(f64::NAN).is_nan() && ln_1p(-1.5).is_nan() && ln_1p(f64::NAN).is_nan()
        );
    }
}
