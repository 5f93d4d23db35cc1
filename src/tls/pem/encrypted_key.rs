//! Decrypts PKCS#8 private keys, within bounds for the time and the memory that the file asks for.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{self, EncryptionScheme, pbes2::Kdf};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::limits::{KEY_PBKDF2_ITERATIONS, KEY_SCRYPT_BLOCKS, KEY_SCRYPT_BYTES};
use crate::tls::files::Secret;

/// Decrypts a PKCS#8 key. An error is a problem and its remedy.
pub(super) fn decrypt(der: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, (String, &'static str)> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| {
        ("is damaged, or encrypted with an algorithm other than PBES2 with AES or triple DES".to_owned(), CONVERT)
    })?;
    if let EncryptionScheme::Pbes2(parameters) = &encrypted.encryption_algorithm
        && let Some(problem) = too_costly(&parameters.kdf)
    {
        return Err((problem, CONVERT));
    }
    let key = encrypted.decrypt(&password.0).map_err(|error| {
        let unsupported = matches!(
            error,
            pkcs8::Error::EncryptedPrivateKey(
                pkcs5::Error::NoPbes1CryptSupport
                    | pkcs5::Error::UnsupportedAlgorithm { .. }
                    | pkcs5::Error::AlgorithmParametersInvalid { .. },
            )
        );
        if unsupported {
            ("is encrypted with an algorithm other than PBES2 with AES or triple DES".to_owned(), CONVERT)
        } else {
            ("cannot be decrypted: wrong password, or a damaged file".to_owned(), "check the password")
        }
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The parameters of the key derivation that exceed a bound.
fn too_costly(kdf: &Kdf) -> Option<String> {
    if let Some(pbkdf2) = kdf.pbkdf2() {
        let iterations = pbkdf2.iteration_count;
        return (iterations > KEY_PBKDF2_ITERATIONS)
            .then(|| format!("asks for {iterations} PBKDF2 iterations, expected at most {KEY_PBKDF2_ITERATIONS}"));
    }
    let scrypt = kdf.scrypt()?;
    let (n, r, p) = (scrypt.cost_parameter, u64::from(scrypt.block_size), u64::from(scrypt.parallelization));
    // As OpenSSL counts it: a table of N entries, two working entries, and an entry for each lane, of 128 r bytes each.
    let bytes = n.saturating_add(2).saturating_add(p).saturating_mul(128 * r);
    let blocks = n.saturating_mul(r).saturating_mul(p);
    (bytes > KEY_SCRYPT_BYTES || blocks > KEY_SCRYPT_BLOCKS).then(|| {
        format!(
            "asks for scrypt with N={n}, r={r}, p={p}: {bytes} bytes of memory, expected at most {KEY_SCRYPT_BYTES}; \
             {blocks} blocks (N*r*p), expected at most {KEY_SCRYPT_BLOCKS}"
        )
    })
}

const CONVERT: &str = "create a readable one with: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW";

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{Kdf, Pbkdf2Params};
    use pkcs8::pkcs5::scrypt;

    use super::too_costly;

    #[test]
    fn key_derivation_is_bounded() {
        let pbkdf2 = |iterations| Kdf::from(Pbkdf2Params::hmac_sha256(iterations, b"saltsalt").unwrap());
        for (iterations, bounded) in [(2048, true), (10_000_000, true), (10_000_001, false), (100_000_000, false)] {
            assert_eq!(too_costly(&pbkdf2(iterations)).is_none(), bounded, "{iterations}");
        }
        // OpenSSL's default, its limit of 32 MiB, one step above it; little memory and much time.
        let cases = [
            ((14, 8, 1), true),
            ((14, 15, 1), true),
            ((15, 8, 1), false),
            ((10, 1, 4096), true),
            ((10, 1, 4097), false),
        ];
        for ((log_n, r, p), bounded) in cases {
            let parameters = scrypt::Params::new(log_n, r, p).unwrap();
            let kdf = pkcs8::pkcs5::pbes2::ScryptParams::from_params_and_salt(parameters, b"saltsalt").unwrap();
            assert_eq!(too_costly(&Kdf::from(kdf)).is_none(), bounded, "{log_n} {r} {p}");
        }
    }
}
