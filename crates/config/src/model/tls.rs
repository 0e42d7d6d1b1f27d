//! TLS in both directions, as written. Holds paths; the files are read elsewhere.

use std::path::PathBuf;

use super::Placed;

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// At least one; the first is the default.
    pub certificates: Vec<Certificate>,
    /// Lowest accepted version.
    pub min_version: TlsVersion,
    /// Which certificates of clients are accepted; `None` = clients are asked for none.
    pub client_auth: Option<ClientAuth>,
}

/// Which certificates of clients a listener accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientAuth {
    /// PEM bundle of authorities, or of the certificates of single clients.
    pub ca: Placed<PathBuf>,
    /// PEM revocation lists.
    pub crl: Option<Placed<PathBuf>>,
    /// A client without a certificate is refused.
    pub required: bool,
}

/// A certificate chain and its key, as absolute or config-relative-resolved paths that exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// PEM chain.
    pub cert: Placed<PathBuf>,
    /// PEM key.
    pub key: Placed<PathBuf>,
    /// OCSP response in DER that is stapled.
    pub ocsp: Option<Placed<PathBuf>>,
}

/// The TLS versions that the edge speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// TLS towards an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointTls {
    /// Pool and address of the endpoint, or the key of a server that is reported to: TLS sessions belong to it.
    pub owner: String,
    /// Server name sent and verified; default: the endpoint's host.
    pub sni: String,
    /// Verify the certificate.
    pub verify: bool,
    /// Private CA bundle in PEM; `None` = the system's roots.
    pub ca: Option<Placed<PathBuf>>,
    /// The certificate that an endpoint gets when it asks for one.
    pub certificate: Option<Certificate>,
}
