//! The URL of a source as it may be shown: without its password.

/// The URL with `***` for its password, in the user part and as a parameter.
///
/// A password with unescaped `/`, `?` or `@` is covered too: rather too much is hidden than too little.
pub fn redact(url: &str) -> String {
    let mut redacted = url.to_owned();
    if let Some(start) = url.find("://").map(|i| i + 3)
        && let Some(end) = url.rfind('@').filter(|end| *end >= start)
        && let Some(colon) = url[start..end].find(':').map(|i| start + i)
    {
        redacted.replace_range(colon + 1..end, "***");
    }
    let Some((base, parameters)) = redacted.split_once('?') else {
        return redacted;
    };
    let parameters: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{base}?{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_redacted_wherever_they_stand() {
        for (url, redacted) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            (
                "postgres://u:secret@h:5432/db?sslmode=require",
                "postgres://u:***@h:5432/db?sslmode=require",
            ),
            ("postgres://u:se/c?r@et@h/db", "postgres://u:***@h/db"),
            (
                "postgres://h/db?user=u&password=secret&x=y",
                "postgres://h/db?user=u&password=***&x=y",
            ),
            (
                "postgres://u:s@h/db?PASSWORD=t",
                "postgres://u:***@h/db?PASSWORD=***",
            ),
            ("postgres://[::1]:5432/db", "postgres://[::1]:5432/db"),
        ] {
            assert_eq!(redact(url), redacted);
        }
    }
}
