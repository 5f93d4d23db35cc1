//! Tests of key updates and exhausted keys.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::{ServerConfig, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Configs, SECOND, carries, each_version, pattern, served};

#[tokio::test]
async fn keys_that_are_used_up_are_renewed_or_said_to_be() {
    let (_folder, versions) = each_version();
    let bytes = pattern(1_000_000);
    let (mut client, mut server) = served(&with_provider(&versions[0], |provider| {
        provider.cipher_suites = vec![of_few_records(cipher_suite::TLS13_AES_128_GCM_SHA256)];
    }))
    .await;
    carries(&mut server, &mut client, &bytes, 1000, 1 << 16).await;
    carries(&mut server, &mut client, &bytes, 50_000, 1 << 16).await;
    // TLS 1.2 keys cannot be updated: the session ends, and the client must not wait for data that cannot be sent.
    let (mut client, mut server) = served(&with_provider(&versions[1], |provider| {
        provider.cipher_suites = vec![of_few_records(cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)];
    }))
    .await;
    let write = async {
        loop {
            if let Err(error) = server.write_all(&[7; 10]).await {
                return error;
            }
        }
    };
    let mut got = Vec::new();
    let (error, read) = tokio::join!(write, tokio::time::timeout(SECOND, client.read_to_end(&mut got)));
    assert_eq!(read.expect("the client is told").unwrap() % 10, 0);
    assert!(got.len() > 500, "{error}: {}", got.len());
    assert_eq!(server.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// Returns configurations whose server uses a modified provider.
pub(super) fn with_provider(configs: &Configs, change: impl FnOnce(&mut CryptoProvider)) -> Configs {
    let mut provider = aws_lc_rs::default_provider();
    change(&mut provider);
    let server = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&configs.server.cert_resolver));
    Configs { server: Arc::new(server), client: Arc::clone(&configs.client), name: configs.name.clone() }
}

/// A cipher suite whose keys protect at most 100 records.
fn of_few_records(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let limited = |common: &CipherSuiteCommon| CipherSuiteCommon { confidentiality_limit: 100, ..*common };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            let common = limited(&suite.common);
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite { common, ..*suite })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            let common = limited(&suite.common);
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite { common, ..*suite })))
        }
    }
}

#[tokio::test]
async fn keys_are_updated_by_either_side() {
    let (_folder, versions) = each_version();
    let configs = &versions[0];
    let (mut client, mut server) = served(configs).await;
    for round in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        carries(&mut client, &mut server, &pattern(5000), 1000, 700 + round).await;
        // Our answer to the key update is sent with the next data.
        carries(&mut server, &mut client, &pattern(5000), 1000, 700 + round).await;
    }
}

/// Each key update asks us for an update in return, which is sent with our next data.
#[tokio::test]
async fn updates_of_keys_make_one_answer() {
    let (_folder, versions) = each_version();
    for with_data in [false, true] {
        let (mut client, mut server) = served(&versions[0]).await;
        let (mut kept, mut error) = (0, None);
        for _ in 0..100 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            client.write_all(if with_data { b"x" } else { b"" }).await.unwrap();
            client.flush().await.unwrap();
            let read = tokio::time::timeout(Duration::from_millis(5), server.read(&mut [0; 9])).await;
            if let Ok(Err(failed)) = read {
                error = Some(failed.to_string());
            }
            kept = kept.max(server.kept().2);
        }
        // A session ticket also waits for data.
        assert!(kept < 1024, "{kept}");
        assert_eq!(error.is_some_and(|error| error.contains("TooManyKeyUpdateRequests")), !with_data);
    }
}
