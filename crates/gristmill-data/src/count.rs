//! Counts as they are read: `1 row`, `12,000 rows`, `2 batches`.

/// A number in groups of three digits.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of what a noun names, which is given in the singular and may end in other words: `row of features`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {}", thousands(n), named(n, noun))
}

/// A noun as it is for so many.
pub fn named(n: u64, noun: &str) -> String {
    if n == 1 {
        return noun.to_owned();
    }
    // What is counted comes before `of …`, and an adjective before it stays.
    let (noun, rest) = noun.split_at(noun.find(" of ").unwrap_or(noun.len()));
    let stem = |ending: &str| noun.strip_suffix(ending);
    let plural = match (
        stem("y"),
        ["s", "x", "ch", "sh"]
            .into_iter()
            .any(|ending| noun.ends_with(ending)),
    ) {
        (Some(stem), _) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        (_, true) => format!("{noun}es"),
        _ => format!("{noun}s"),
    };
    plural + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_is_in_the_number_of_its_count() {
        for (n, noun, text) in [
            (0, "row", "0 rows"),
            (1, "row", "1 row"),
            (1_234_567, "training row", "1,234,567 training rows"),
            (1, "row of features", "1 row of features"),
            (2, "row of features", "2 rows of features"),
            (2, "batch", "2 batches"),
            (1, "batch", "1 batch"),
            (3, "class", "3 classes"),
            (2, "entry", "2 entries"),
            (2, "retry", "2 retries"),
            (2, "key", "2 keys"),
            (2, "iteration of the final fit", "2 iterations of the final fit"),
        ] {
            assert_eq!(counted(n, noun), text);
        }
    }
}
