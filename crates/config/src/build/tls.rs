//! `[listener.tls]`, and `tls` of pools and of their endpoints. Checks that the named files exist, and reads none of them.

use std::path::PathBuf;

use crate::{
    Certificate, ClientAuth, EndpointTls, ListenerTls, Placed, TlsVersion, diagnostic::Diagnostic,
    keys::CERTIFICATE, loader::Loader, tree::Node, view::View,
};

/// TLS towards endpoints as one table says it: what is not written is decided elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenTls {
    is_given: bool,
    sni: Option<String>,
    verify: Option<bool>,
    ca: Option<Placed<PathBuf>>,
    certificate: Option<Certificate>,
}

impl Loader<'_> {
    pub(super) fn listener_tls(&mut self, table: View<'_>, path: &str) -> Option<ListenerTls> {
        table.given("tls")?;
        let tls = table.table("tls");
        let mut certificates = Vec::new();
        for (nth, node) in tls.items("certificates").iter().enumerate() {
            let pair = View::new(&CERTIFICATE, node);
            let path = format!("{path}.tls.certificates[{nth}]");
            let mut file = |name: &str| {
                let node: &Node = pair.given(name)?;
                self.named_file(node, &format!("{path}.{name}")).map(|(file, _)| file)
            };
            if let (Some(cert), Some(key), ocsp) = (file("cert"), file("key"), file("ocsp")) {
                certificates.push(Certificate { cert, key, ocsp });
            }
        }
        let min_version = if tls.text("min_version") == "1.3" { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
        let client_auth = self.client_auth(tls, path);
        Some(ListenerTls { certificates, min_version, client_auth })
    }

    /// Which certificates of clients a listener accepts.
    fn client_auth(&mut self, tls: View<'_>, path: &str) -> Option<ClientAuth> {
        for key in ["client_auth", "client_crl"] {
            if let Some(node) = tls.given(key).filter(|_| !tls.has("client_ca")) {
                let diagnostic = Diagnostic::new("nothing says which client certificates are accepted");
                self.report.error(node.at, format!("{path}.tls.{key}"), diagnostic.hint("add `client_ca`"));
            }
        }
        let mut file = |name: &str| {
            let node: &Node = tls.given(name)?;
            self.named_file(node, &format!("{path}.tls.{name}")).map(|(file, _)| file)
        };
        let (ca, crl) = (file("client_ca"), file("client_crl"));
        Some(ClientAuth { ca: ca?, crl, required: tls.text("client_auth") != "optional" })
    }

    /// TLS towards the endpoints of a pool, unless they have their own.
    pub(super) fn pool_tls(&mut self, pool: View<'_>, path: &str) -> WrittenTls {
        self.written_tls(pool, || path.to_owned())
    }

    /// TLS towards one endpoint; `None` = plaintext.
    pub(super) fn endpoint_tls(
        &mut self,
        of_pool: &WrittenTls,
        endpoint: View<'_>,
        (pool, host, port): (&str, &str, u16),
        path: impl Fn() -> String,
    ) -> Option<EndpointTls> {
        let own = self.written_tls(endpoint, path);
        (own.is_given || of_pool.is_given).then(|| {
            let of_pool = of_pool.clone();
            EndpointTls {
                owner: format!("{pool} {host}:{port}"),
                sni: own.sni.or(of_pool.sni).unwrap_or_else(|| host.to_owned()),
                verify: own.verify.or(of_pool.verify).unwrap_or(true),
                ca: own.ca.or(of_pool.ca),
                certificate: own.certificate.or(of_pool.certificate),
            }
        })
    }

    fn written_tls(&mut self, table: View<'_>, path: impl Fn() -> String) -> WrittenTls {
        if table.given("tls").is_none() {
            return WrittenTls::default();
        }
        let tls = table.table("tls");
        let verify = tls.given("verify").map(|_| tls.flag("verify"));
        if let (Some(false), Some(node)) = (verify, tls.given("verify")) {
            let diagnostic = Diagnostic::new("anyone can pose as this endpoint")
                .hint("trust a private authority with `ca`");
            self.report.warn(node.at, format!("{}.verify", path()), diagnostic);
        }
        for (one, other) in [("cert", "key"), ("key", "cert")] {
            if let Some(node) = tls.given(one).filter(|_| !tls.has(other)) {
                let diagnostic = Diagnostic::new(format!("`{one}` is of no use without `{other}`"));
                self.report.error(node.at, format!("{}.{one}", path()), diagnostic.hint("write both"));
            }
        }
        let mut file = |name: &str| {
            let node: &Node = tls.given(name)?;
            self.named_file(node, &format!("{}.{name}", path())).map(|(file, _)| file)
        };
        let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
        let certificate = cert.zip(key).map(|(cert, key)| Certificate { cert, key, ocsp: None });
        WrittenTls { is_given: true, sni: tls.optional_text("sni"), verify, ca, certificate }
    }
}
