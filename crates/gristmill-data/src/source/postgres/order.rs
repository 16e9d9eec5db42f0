//! The order in which rows are asked for.

/// The order in which rows are asked for.
pub(super) enum Order {
    /// That of the key.
    ByKey,
    /// That of the key, and so many of the first, with all that have the key of the last.
    FirstByKey(u64),
    /// None, and so many at most.
    AsTheyCome(u64),
}
