//! Panics of code that reads foreign bytes, as errors: a reader that panics must neither end the process nor pass for the end
//! of the rows.

use std::any::Any;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::pin;

use crate::error::{Error, Result};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the process from printing panics that [`caught`] turns into errors; they are logged, with the place in the code. To be
/// called once, by the program.
pub fn quiet() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if CATCHING.get() {
            tracing::debug!("{panic}");
        } else {
            before(panic);
        }
    }));
}

/// Does the work, or returns the message of its panic. What the work has changed must not be used after a panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CATCHING.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(before);
    done.map_err(|panic| message(&*panic))
}

/// Does the work, named `what`, or returns its panic as an error.
pub(crate) async fn caught_async<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    let polled = poll_fn(|context| match caught(|| work.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    });
    polled.await.unwrap_or_else(|panic| Err(stopped(what, panic)))
}

/// The error of work that stopped.
pub fn stopped(what: &str, why: impl ToString) -> Error {
    Error::Stopped {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_error_and_a_value_the_value() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(
            caught(|| panic!("it {}", "broke")),
            Err::<(), _>("it broke".to_owned())
        );
        assert_eq!(caught(|| panic!("it broke")), Err::<(), _>("it broke".to_owned()));
    }

    #[tokio::test]
    async fn a_panic_of_a_future_names_the_work() {
        let work = async {
            tokio::task::yield_now().await;
            panic!("in the middle")
        };
        let error = caught_async("the work", work).await.map(|()| "done");
        assert_eq!(
            error.map_err(|e| e.to_string()),
            Err("the work stopped: in the middle".to_owned())
        );
    }
}
