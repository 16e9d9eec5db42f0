//! What the verifier of certificates says, in words that name the way out. Both drivers have it only as text.

/// What was refused, as the verifier writes it, and what that means.
const WORDS: [(&str, &str); 5] = [
    (
        "CaUsedAsEndEntity",
        "the server shows the certificate of an authority (CA:TRUE) as its own, as a self-signed one often is; give the server \
         a certificate that this authority signed, or sign one anew with basicConstraints=CA:FALSE and the host's name as \
         subjectAltName, or encrypt without verifying (sslmode=require and no sslrootcert)",
    ),
    (
        "UnknownIssuer",
        "no authority that is trusted here signed the server's certificate; name the file of the one that did as sslrootcert",
    ),
    (
        "NotValidForName",
        "the server's certificate is for another host name; use the name in it, or sslmode=verify-ca",
    ),
    ("Expired", "the server's certificate is no longer valid; renew it"),
    (
        "NotValidYet",
        "the server's certificate is not valid yet; is the clock of this machine right?",
    ),
];

/// The text, with what it means where that is not plain.
pub(super) fn in_words(text: &str) -> String {
    let found = WORDS
        .iter()
        .find(|(said, _)| text.contains("certificate") && text.contains(said));
    match found {
        Some((_, meaning)) => format!("{text}: {meaning}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn what_a_certificate_is_refused_for_is_explained() {
        let text = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity)) (db:5432)";
        let words = in_words(text);
        assert!(
            words.starts_with(text) && words.contains("sslmode=require and no sslrootcert"),
            "{words}"
        );
        assert_eq!(in_words("connection refused"), "connection refused");
    }
}
