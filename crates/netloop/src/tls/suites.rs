//! Cipher suites and protocol versions by the names that people know them by: IANA's, OpenSSL's (which Erlang and
//! Mosquitto use as well), and rustls's own.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedProtocolVersion};

use super::TlsError;

/// Protocol versions to offer or accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl Versions {
    pub(super) fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Both => &ALL,
            Self::Tls12 => &ALL[1..],
            Self::Tls13 => &ALL[..1],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Both => "TLS 1.2 or 1.3",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }
}

/// The cryptography, restricted to the suites of these names; none: all that there are.
pub(super) fn provider(names: &[String], versions: Versions) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = ring::default_provider();
    if !names.is_empty() {
        let wanted = names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
        // In the order in which they were named: it is the order of preference.
        let known = std::mem::take(&mut provider.cipher_suites);
        provider.cipher_suites =
            wanted.iter().filter_map(|wanted| known.iter().find(|suite| suite.suite() == *wanted)).copied().collect();
        let usable = |suite: &rustls::SupportedCipherSuite| versions.list().contains(&suite.version());
        if !provider.cipher_suites.iter().any(usable) {
            return Err(TlsError::NoSuite(versions.name()));
        }
    }
    Ok(Arc::new(provider))
}

/// IANA's name.
pub(super) fn name(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|(known, ..)| *known == suite).map_or("unknown", |(_, iana, _)| iana)
}

fn find(name: &str) -> Result<CipherSuite, TlsError> {
    let is_it = |(suite, iana, openssl): &&(CipherSuite, &str, &str)| {
        [iana, openssl, format!("{suite:?}").as_str()].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    SUITES.iter().find(is_it).map(|(suite, ..)| *suite).ok_or_else(|| TlsError::UnknownSuite {
        name: name.to_owned(),
        known: SUITES.iter().map(|(_, iana, _)| *iana).collect::<Vec<_>>().join(", "),
    })
}

/// What ring and rustls can do: suite, IANA's name, OpenSSL's name.
const SUITES: [(CipherSuite, &str, &str); 9] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_provider_has_its_names() {
        let provider = ring::default_provider();
        assert_eq!(provider.cipher_suites.len(), SUITES.len());
        for suite in &provider.cipher_suites {
            assert_eq!(find(name(suite.suite())).unwrap(), suite.suite());
        }
    }

    #[test]
    fn suites_are_found_by_any_of_their_names_and_keep_the_order_given() {
        let names = ["ecdhe-rsa-aes128-gcm-sha256", "TLS_CHACHA20_POLY1305_SHA256", "TLS13_AES_256_GCM_SHA384"]
            .map(str::to_owned);
        let provider = provider(&names, Versions::Both).unwrap();
        let suites: Vec<_> = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
        let wanted = [
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS13_AES_256_GCM_SHA384,
        ];
        assert_eq!(suites, wanted);
    }

    #[test]
    fn what_cannot_be_agreed_on_is_refused_beforehand() {
        let error = provider(&["RC4-MD5".to_owned()], Versions::Both).unwrap_err().to_string();
        assert!(error.contains("`RC4-MD5`") && error.contains("TLS_AES_128_GCM_SHA256"), "{error}");
        let error = provider(&["TLS_AES_128_GCM_SHA256".to_owned()], Versions::Tls12).unwrap_err().to_string();
        assert!(error.contains("TLS 1.2"), "{error}");
    }
}
