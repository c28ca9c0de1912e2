//! The portal over https.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use unmasq_eduvpn::{Authorities, EduvpnError, Portal, PortalNetworks};

use crate::portal::node;
use crate::server::{Server, request};

/// An authority, its PEM file in `folder`, and a server that shows its certificate for `localhost`.
fn serve(folder: &Path) -> (Authorities, Server) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = folder.join("authority.pem");
    fs::write(&file, issuer.pem()).unwrap();

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer).unwrap().into();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let server = Server::with(move |connection| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), connection);
        let asked = request(&mut tls);
        let body = r#"{"profile_list":{"ok":true,"data":{"internet":{"range":"10.8.0.0/24"}}}}"#;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // A client that does not trust the certificate is gone by now.
        let _ = tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(body.as_bytes()));
        asked
    });
    (Authorities::File(file), server)
}

fn ask(host: &str, port: u16, authorities: &Authorities) -> Result<PortalNetworks, EduvpnError> {
    let node = node(&format!("https://{host}:{port}/api.php"));
    Portal::new(node, authorities, Duration::from_secs(60))?.networks()
}

#[test]
fn a_certificate_of_a_named_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (authorities, server) = serve(folder.path());
    assert_eq!(ask("localhost", server.address.port(), &authorities).unwrap().networks.len(), 2);
    assert!(server.asked().starts_with("GET /api.php/profile_list HTTP/1.1\r\n"));
}

#[test]
fn another_authority_or_another_name_gets_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (authorities, server) = serve(folder.path());
    let (others, _) = serve(other.path());
    let error = ask("localhost", server.address.port(), &others).unwrap_err();
    assert!(matches!(error, EduvpnError::Tls { .. }), "{error:?}");
    assert_eq!(server.asked(), "");
    let (_, server) = (authorities, serve(folder.path()));
    let error = ask("127.0.0.1", server.1.address.port(), &server.0).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(server.1.asked(), "");
}

#[test]
fn a_server_that_speaks_no_tls_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (authorities, _) = serve(folder.path());
    let server = Server::with(|mut connection| {
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        String::new()
    });
    let error = ask("localhost", server.address.port(), &authorities).unwrap_err();
    assert!(matches!(error, EduvpnError::Tls { .. }), "{error:?}");
}

#[test]
fn a_file_without_an_authority_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    fs::write(&file, "no certificate\n").unwrap();
    let error = ask("localhost", 1, &Authorities::File(file)).unwrap_err();
    assert!(matches!(&error, EduvpnError::Authorities { .. }), "{error:?}");
    let error = ask("localhost", 1, &Authorities::File(folder.path().join("gone.pem"))).unwrap_err();
    assert!(matches!(&error, EduvpnError::Read { .. }), "{error:?}");
}
