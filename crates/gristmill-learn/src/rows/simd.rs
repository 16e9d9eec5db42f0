//! Compiles a loop for several instruction sets and picks the machine's when it runs.

use pulp::{Arch, NullaryFnOnce};

/// Runs `work` compiled for the widest instruction set there is. Write `#[inline(always)]` on the closure, and on every
/// function it calls in its inner loop: only what is inlined is compiled so.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Inlined(work))
}

/// Calls the closure by reference. Called by value, a closure that could be called by reference goes through a shim,
/// which is not inlined.
struct Inlined<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Inlined<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}
