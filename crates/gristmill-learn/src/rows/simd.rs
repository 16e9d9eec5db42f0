//! Compiles a loop for several instruction sets and picks the machine's when it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use pulp::{Arch, NullaryFnOnce};

/// Whether the machine's wider instruction sets are left alone.
static PLAIN: AtomicBool = AtomicBool::new(false);

/// Runs the kernels with the instructions that every machine has, or again with the widest of this one. It changes how
/// long they take and nothing else: tests compare the bytes.
#[doc(hidden)]
pub fn use_plain_instructions(plain: bool) {
    PLAIN.store(plain, Ordering::Relaxed);
}

/// Runs `work` compiled for the widest instruction set there is. Write `#[inline(always)]` on the closure, and on every
/// function it calls in its inner loop: only what is inlined is compiled so.
#[inline(always)]
pub(crate) fn vectorised<R>(mut work: impl FnMut() -> R) -> R {
    if PLAIN.load(Ordering::Relaxed) {
        return work();
    }
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
