//! Certificates that clients show, and what revokes them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, SupportedKxGroup},
    sign::SingleCertAndKey,
};

use crate::{
    Authority, Leaf,
    tls::{certified_key, provider, trusting},
};

impl Authority {
    /// Signs a certificate for a client with this common name and serial number, valid from the first of January of one
    /// year to that of another.
    pub fn client(&self, name: &str, serial: u8, (from, to): (i32, i32)) -> Leaf {
        self.client_with(name, serial, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        })
    }

    /// The same, valid for so many seconds from now.
    pub fn client_for_seconds(&self, name: &str, serial: u8, seconds: u64) -> Leaf {
        let end = SystemTime::now() + Duration::from_secs(seconds);
        self.client_with(name, serial, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), end.into());
        })
    }

    fn client_with(&self, name: &str, serial: u8, in_time: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(vec![serial]));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        in_time(&mut params);
        let cert = params.signed_by(&key, &self.issuer).expect("the authority signs");
        Leaf { cert_pem: cert.pem(), key_pem: key.serialize_pem() }
    }

    /// A list that revokes the certificate with this serial number.
    pub fn revocation_list(&self, serial: u8) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(vec![serial]),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("the authority signs").pem().expect("a list is text")
    }
}

/// What a TLS client connects with that knows these key exchanges, in this order.
pub fn client_config_with_groups(
    authority: &Authority,
    groups: &[&'static dyn SupportedKxGroup],
) -> Arc<ClientConfig> {
    let provider = CryptoProvider { kx_groups: groups.to_vec(), ..CryptoProvider::clone(&provider()) };
    Arc::new(trusting(authority, &[], Arc::new(provider)).with_no_client_auth())
}

/// What a TLS client connects with: as `client_config`, and shows this certificate if it is asked for one.
pub fn client_config_as(
    authority: &Authority,
    leaf: &Leaf,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut config = trusting(authority, versions, provider())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key(leaf))));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
