//! Why a server's certificate is refused, in words that name the way out. Both drivers have it only as the verifier's text.

/// How the verifier's text begins.
const REFUSED: &str = "invalid peer certificate: ";

/// How the verifier's reason begins or, where that says nothing else, what is in it; and what it means.
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
        "certificate not valid for name",
        "the server's certificate is for another host; use a name that is in it, or sslmode=verify-ca",
    ),
    (
        "certificate expired",
        "the server's certificate is no longer valid; renew it, or look whether the clock of this machine is right",
    ),
    (
        "certificate not valid yet",
        "the server's certificate is not valid yet; look whether the clocks of this machine and of the server are right",
    ),
];

/// What went wrong with the server at `place`; in words where it is its certificate.
pub(super) fn in_words(text: &str, place: &str) -> String {
    let refused = text.split_once(REFUSED).map(|(_, reason)| reason);
    let found = refused.and_then(|reason| WORDS.iter().find(|(said, _)| reason.contains(said)));
    let names = refused.and_then(|reason| reason.split_once("is only valid for "));
    match (found, names.map(|(_, names)| quoted(names))) {
        (Some((_, meaning)), Some(names)) if !names.is_empty() => {
            format!("{meaning} ({place}; the certificate is for {names})")
        }
        (Some((_, meaning)), _) => format!("{meaning} ({place})"),
        (None, _) => format!("{text} ({place})"),
    }
}

/// What stands in quotes.
fn quoted(text: &str) -> String {
    text.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{CertificateError, Error, OtherError};

    use super::in_words;

    /// As the verifier of the drivers has them, some of which no server can be made to cause in a test.
    #[test]
    fn what_a_certificate_is_refused_for_is_said_in_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = || ServerName::try_from("db.example").unwrap();
        let presented = |names: &[&str]| CertificateError::NotValidForNameContext {
            expected: name(),
            presented: names.iter().map(|name| format!("DnsName(\"{name}\")")).collect(),
        };
        let (time, not_after, not_before) = (at(2), at(1), at(3));
        #[derive(Debug)]
        struct CaUsedAsEndEntity;
        impl std::fmt::Display for CaUsedAsEndEntity {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("CaUsedAsEndEntity")
            }
        }
        impl std::error::Error for CaUsedAsEndEntity {}
        for (refused, words) in [
            (
                CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity))),
                "the certificate of an authority",
            ),
            (
                CertificateError::UnknownIssuer,
                "name the file of the one that did as sslrootcert (db:5432)",
            ),
            (
                presented(&["localhost"]),
                "sslmode=verify-ca (db:5432; the certificate is for localhost)",
            ),
            (presented(&["a", "b"]), "(db:5432; the certificate is for a, b)"),
            (presented(&[]), "sslmode=verify-ca (db:5432)"),
            (
                CertificateError::ExpiredContext { time, not_after },
                "no longer valid",
            ),
            (
                CertificateError::NotValidYetContext { time, not_before },
                "not valid yet; look",
            ),
        ] {
            let raw = Error::InvalidCertificate(refused).to_string();
            let said = in_words(&format!("error performing TLS handshake: {raw}"), "db:5432");
            assert!(said.contains(words) && said.contains("(db:5432"), "{raw}: {said}");
            assert!(
                said.starts_with("the server") || said.starts_with("no authority"),
                "{said}"
            );
            assert!(
                !said.contains("CaUsedAsEndEntity") && !said.contains("UNIX"),
                "{said}"
            );
        }
        let other = "error performing TLS handshake: received fatal alert: ProtocolVersion";
        assert_eq!(in_words(other, "db:5432"), format!("{other} (db:5432)"));
    }
}
