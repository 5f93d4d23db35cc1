//! Verifies the signatures of one certificate chain, each only once, and limits their number.
//!
//! Path building verifies the same signature again for each order of the intermediates and each choice of CRLs.

use std::sync::{Mutex, PoisonError};

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use crate::limits::{CHAIN_KEY_BYTES, CHAIN_SIGNATURES};

/// The signatures verified for one certificate chain.
#[derive(Debug, Default)]
pub(crate) struct SignatureCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    verified: Vec<CachedSignature>,
    /// Their total cost, in units of one verification with a key of usual size.
    spent: usize,
    /// Whether the limit was reached.
    is_full: bool,
}

/// A signature and whether it is valid. The inputs are stored in full, not as a hash: with colliding hashes, an
/// invalid signature would count as valid.
#[derive(Debug)]
struct CachedSignature {
    algorithms: [AlgorithmIdentifier; 2],
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    is_valid: bool,
}

impl SignatureCache {
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_full
    }
}

/// A signature algorithm that verifies through a [`SignatureCache`].
#[derive(Debug)]
pub(crate) struct CachingAlgorithm<'a> {
    pub(crate) inner: &'static dyn SignatureVerificationAlgorithm,
    pub(crate) cache: &'a SignatureCache,
}

impl SignatureVerificationAlgorithm for CachingAlgorithm<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let algorithms = [self.inner.public_key_alg_id(), self.inner.signature_alg_id()];
        let mut state = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |one: &&CachedSignature| {
            one.algorithms == algorithms && one.key == key && one.message == message && one.signature == signature
        };
        if let Some(one) = state.verified.iter().find(is_same) {
            return if one.is_valid { Ok(()) } else { Err(InvalidSignature) };
        }
        let spent = state.spent + 1 + key.len() / CHAIN_KEY_BYTES;
        if spent > CHAIN_SIGNATURES {
            state.is_full = true;
            return Err(InvalidSignature);
        }
        state.spent = spent;
        let verdict = self.inner.verify_signature(key, message, signature);
        let [key, message, signature] = [key, message, signature].map(<[u8]>::to_vec);
        state.verified.push(CachedSignature { algorithms, key, message, signature, is_valid: verdict.is_ok() });
        verdict
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.inner.fips()
    }
}
