//! What single values mean: byte sizes, `${VAR}`, and the name someone probably meant.

/// What `${VAR}` in a text cannot be replaced by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// The variable is not set.
    NotSet(String),
    /// `${` is not followed by a name and `}`.
    NotAName,
}

/// Replaces `${VAR}` by the variable's value and `$$` by `$`; any other `$` stays.
pub(super) fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Unexpanded> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (name, after) = after.split_once('}').ok_or(Unexpanded::NotAName)?;
            let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !letters || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(Unexpanded::NotAName);
            }
            expanded.push_str(&environment(name).ok_or_else(|| Unexpanded::NotSet(name.to_owned()))?);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The bytes of `2GB`, `512 MiB` or `1.5GB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "B" => 1_u64,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "TIB" => 1 << 40,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    (bytes < 2_f64.powi(63)).then_some(bytes as u64)
}

/// The candidate nearest to `given`, if one is near: case, `_`, `-` and spaces do not count.
pub(super) fn nearest<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let given = plain(given);
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let score = strsim::normalized_damerau_levenshtein(&given, &plain(candidate));
        if score > 0.5 && best.is_none_or(|(most, _)| score > most) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_dollars_escaped() {
        let environment = |name: &str| (name == "A_1").then(|| "x$$".to_owned());
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("${A_1}-${A_1}", Ok("x$$-x$$")),
            ("$$ $1 $${A_1} $", Ok("$ $1 ${A_1} $")),
            ("${B}", Err(Unexpanded::NotSet("B".to_owned()))),
            ("${A", Err(Unexpanded::NotAName)),
            ("${}", Err(Unexpanded::NotAName)),
            ("${1A}", Err(Unexpanded::NotAName)),
        ] {
            assert_eq!(expand(text, &environment), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        for (text, expected) in [
            ("2GB", Some(2_000_000_000)),
            ("1.5 gb", Some(1_500_000_000)),
            ("1GiB", Some(1 << 30)),
            ("64MB", Some(64_000_000)),
            ("2", None),
            ("GB", None),
            ("2G", None),
            ("1.2.3GB", None),
            ("-1GB", None),
            ("99999999TB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["reg_param", "max_iter", "tol"];
        assert_eq!(nearest("regParam", names), Some("reg_param"));
        assert_eq!(nearest("max_itre", names), Some("max_iter"));
        assert_eq!(nearest("learning_rate", names), None);
    }
}
