//! Credentials that are for certain hosts: the sandbox has placeholders, and the proxy puts the
//! values into requests to those hosts.
//!
//! For that, the proxy shows the sandbox a certificate of an authority that is made for one process.
//! Its key is gone once the certificate is signed, so that it can never sign another.

use std::sync::Arc;

use aod_egress::{BoundCredential, HostPort, Interception};
use aod_sandbox::{PrivateFile, SandboxSpec};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use secrecy::ExposeSecret as _;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::broker::PLACEHOLDER;
use crate::secrets::TurnSecrets;
use crate::{Error, Result, Seals};

/// Where the sandbox finds the authorities that it trusts: the system's, and the one for this.
const BUNDLE: &str = "/run/aod/authorities.pem";
/// The variables by which programs find them.
const VARIABLES: [&str; 10] = [
    "SSL_CERT_FILE",
    // Git and what else uses curl's library; Node.js, and npm, which does without Node's where a
    // machine's npmrc names a file; requests and pip; cargo; AWS; Deno.
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
];
/// How long before now, and after, the certificates count. Some clients take none for longer.
const BEFORE: Duration = Duration::days(1);
const AFTER: Duration = Duration::days(360);

/// What the proxy puts into requests, and what the sandbox has to trust for that.
#[derive(Clone, Debug)]
pub(crate) struct Bound(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    interception: Interception,
    /// Certificates of authorities, as PEM.
    authorities: String,
}

impl Bound {
    pub(super) fn interception(&self) -> Interception {
        self.0.interception.clone()
    }

    /// Whether requests to a host of this name are read.
    pub(super) fn has_host(&self, name: &str) -> bool {
        let mut credentials = self.0.interception.credentials.iter();
        credentials.any(|it| {
            it.hosts
                .iter()
                .any(|bound| bound.host.eq_ignore_ascii_case(name))
        })
    }

    /// Has a sandbox trust the proxy, besides whom it trusts anyhow. What its user said of whom to
    /// trust stays.
    pub(super) fn apply(&self, spec: &mut SandboxSpec) {
        spec.private_files.push(PrivateFile {
            path: BUNDLE.into(),
            mode: 0o444,
            content: self.0.authorities.clone().into_bytes().into(),
        });
        for name in VARIABLES {
            if !spec.env.iter().any(|(known, _)| known == name) {
                let value = Zeroizing::new(BUNDLE.to_owned());
                spec.env.push((name.to_owned(), value));
            }
        }
    }
}

/// Puts placeholders in the place of the credentials that are for certain hosts; none where there
/// are no such credentials.
pub(crate) fn bind(secrets: &mut TurnSecrets, seals: &Seals, owner: Uuid) -> Result<Option<Bound>> {
    let mut credentials = Vec::new();
    for (variable, hosts) in secrets.bound.clone() {
        let new = || placeholder(seals, owner, &variable);
        let Some((placeholder, value)) = secrets.hide(&variable, new) else {
            continue;
        };
        credentials.push(BoundCredential {
            placeholder,
            value: value.expose_secret().to_owned().into(),
            hosts,
        });
    }
    if credentials.is_empty() {
        return Ok(None);
    }
    let mut names: Vec<String> = credentials
        .iter()
        .flat_map(|it| it.hosts.iter().map(|host| host.host.clone()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let (certificate, key, authority) = certificate(names).map_err(Error::internal)?;
    let mut authorities = system_authorities();
    authorities.push_str(&authority);
    Ok(Some(Bound(Arc::new(Parts {
        interception: Interception {
            certificate,
            key: key.into_bytes().into(),
            credentials,
        },
        authorities,
    }))))
}

/// What stands for a credential, in all turns of all of its owner's sessions: a file that a turn or
/// a setup script wrote, such as one of a package manager's, holds in the next turn, too. It works
/// where the credential would, and nowhere else.
fn placeholder(seals: &Seals, owner: Uuid, variable: &str) -> String {
    let of = format!("{owner} {variable}");
    let mac = seals.vault().mac("placeholder", of.as_bytes());
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = mac;
    format!("{PLACEHOLDER}{}", Uuid::from_bytes(first).simple())
}

/// A certificate for these names and its key, and that of the authority that signed it.
fn certificate(names: Vec<String>) -> std::result::Result<(String, String, String), rcgen::Error> {
    let now = OffsetDateTime::now_utc();
    let mut authority = CertificateParams::default();
    let title = "aod, for one process of one sandbox";
    authority.distinguished_name.push(DnType::CommonName, title);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.name_constraints = Some(NameConstraints {
        permitted_subtrees: names.iter().cloned().map(GeneralSubtree::DnsName).collect(),
        excluded_subtrees: Vec::new(),
    });
    (authority.not_before, authority.not_after) = (now - BEFORE, now + AFTER);
    let authority_key = KeyPair::generate()?;
    let signed = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut own = CertificateParams::new(names)?;
    own.distinguished_name.push(DnType::CommonName, "aod");
    own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    own.use_authority_key_identifier_extension = true;
    (own.not_before, own.not_after) = (now - BEFORE, now + AFTER);
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &issuer)?;
    Ok((certificate.pem(), key.serialize_pem(), signed.pem()))
}

/// The authorities of this machine, which sandboxes have, too.
fn system_authorities() -> String {
    // What of them cannot be read is as good as not there.
    let found = rustls_native_certs::load_native_certs().certs;
    let found: Vec<_> = found
        .iter()
        .map(|certificate| pem::Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_many_config(&found, config)
}

/// The hosts of a registered credential. What the store holds was checked when it was set.
pub(crate) fn hosts(credential: &aod_store::Credential) -> Vec<HostPort> {
    let hosts = credential.hosts.iter();
    hosts.filter_map(|host| host.parse().ok()).collect()
}
