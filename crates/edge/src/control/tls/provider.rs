//! What TLS computes with, in both directions.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{
    CryptoProvider,
    aws_lc_rs::{self, kx_group},
};

/// The only crypto provider, for both directions. Of the key exchanges, the hybrid of X25519 and ML-KEM-768 comes first:
/// what is recorded today shall not be read by a quantum computer later. A peer that does not know it takes the next.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let groups =
            vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        Arc::new(CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() })
    });
    Arc::clone(&PROVIDER)
}
