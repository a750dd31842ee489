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
    /// Where nobody answers, no credential is `renewed` while a command runs.
    pub(super) fn interception(&self, is_renewed: bool) -> Interception {
        let mut interception = self.0.interception.clone();
        if !is_renewed {
            let credentials = interception.credentials.iter_mut();
            credentials.for_each(|credential| credential.renewed_as = None);
        }
        interception
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
        let is_cargos =
            |name: &str| name.starts_with("CARGO_REGISTRIES_") && name.ends_with("_TOKEN");
        let provider = "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS";
        if spec.env.iter().any(|(name, _)| is_cargos(name))
            && !spec.env.iter().any(|(name, _)| name == provider)
        {
            // Without being told to, cargo takes no token from a variable for a registry that wants
            // one for everything.
            let value = Zeroizing::new("cargo:token".to_owned());
            spec.env.push((provider.to_owned(), value));
        }
    }
}

/// Puts placeholders in the place of the credentials that are for certain hosts; none where there
/// are no such credentials.
pub(crate) fn bind(secrets: &mut TurnSecrets, seals: &Seals, owner: Uuid) -> Result<Option<Bound>> {
    let mut credentials = Vec::new();
    for (variable, hosts) in secrets.bound.clone() {
        let new = || placeholder(seals, owner, &variable);
        let renewed_as = secrets.renewed_as(&variable);
        let Some((placeholder, value)) = secrets.hide(&variable, new) else {
            continue;
        };
        credentials.push(BoundCredential {
            placeholder,
            value: value.expose_secret().to_owned().into(),
            hosts,
            renewed_as,
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
    let shown = certificate(&names).map_err(Error::internal)?;
    let mut authorities = system_authorities();
    authorities.push_str(&shown.authority);
    Ok(Some(Bound(Arc::new(Parts {
        interception: Interception {
            certificate: shown.certificate,
            key: shown.key.into_bytes().into(),
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

/// What the proxy shows the sandbox.
struct Certificate {
    /// As PEM, as all of it.
    certificate: String,
    key: String,
    /// The certificate of who signed it.
    authority: String,
}

/// A certificate for these names.
fn certificate(names: &[String]) -> std::result::Result<Certificate, rcgen::Error> {
    let (authority, authority_key) = authority(names)?;
    let signed = authority.self_signed(&authority_key)?;
    let key = KeyPair::generate()?;
    let certificate = leaf(names)?.signed_by(&key, &Issuer::new(authority, authority_key))?;
    // The authority's key ends here.
    Ok(Certificate {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        authority: signed.pem(),
    })
}

/// An authority for these names alone.
fn authority(names: &[String]) -> std::result::Result<(CertificateParams, KeyPair), rcgen::Error> {
    let mut own = CertificateParams::default();
    let title = "aod, for one process of one sandbox";
    own.distinguished_name.push(DnType::CommonName, title);
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let permitted = names.iter().cloned().map(GeneralSubtree::DnsName);
    own.name_constraints = Some(NameConstraints {
        permitted_subtrees: permitted.collect(),
        excluded_subtrees: Vec::new(),
    });
    let now = OffsetDateTime::now_utc();
    (own.not_before, own.not_after) = (now - BEFORE, now + AFTER);
    Ok((own, KeyPair::generate()?))
}

/// What is to be signed.
fn leaf(names: &[String]) -> std::result::Result<CertificateParams, rcgen::Error> {
    let mut own = CertificateParams::new(names)?;
    own.distinguished_name.push(DnType::CommonName, "aod");
    own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    own.use_authority_key_identifier_extension = true;
    let now = OffsetDateTime::now_utc();
    (own.not_before, own.not_after) = (now - BEFORE, now + AFTER);
    Ok(own)
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

#[cfg(test)]
mod tests {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Whether who trusts an authority takes a certificate for a server's.
    fn is_taken(certificate: &str, authority: &str, name: &'static str) -> bool {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der(authority)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        let verifier = verifier.build().unwrap();
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::now();
        verifier
            .verify_server_cert(&der(certificate), &[], &name, &[], now)
            .is_ok()
    }

    #[test]
    fn the_certificate_is_good_for_the_hosts_and_no_others() {
        let shown = certificate(&names(&["api.example", "git.example"])).unwrap();
        for (name, good) in [
            ("api.example", true),
            ("git.example", true),
            ("evil.example", false),
            ("xapi.example", false),
        ] {
            let taken = is_taken(&shown.certificate, &shown.authority, name);
            assert_eq!(taken, good, "{name}");
        }
        let other = certificate(&names(&["api.example"])).unwrap();
        assert!(!is_taken(
            &other.certificate,
            &shown.authority,
            "api.example"
        ));
    }

    /// Even with its key, which is gone by then.
    #[test]
    fn the_authority_is_good_for_the_hosts_and_no_others() {
        let (own, key) = authority(&names(&["api.example"])).unwrap();
        let trusted = own.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(own, key);
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let leaf = leaf(&names(&[name])).unwrap();
            leaf.signed_by(&key, &issuer).unwrap().pem()
        };
        assert!(is_taken(&sign("api.example"), &trusted, "api.example"));
        assert!(!is_taken(&sign("evil.example"), &trusted, "evil.example"));
    }

    #[test]
    fn what_the_user_trusts_stays() {
        let mut spec = SandboxSpec::new(vec!["/cli".to_owned()], "/h", "/w");
        let own = Zeroizing::new("/own.pem".to_owned());
        spec.env.push(("SSL_CERT_FILE".to_owned(), own));
        let bound = Bound(Arc::new(Parts {
            interception: Interception {
                certificate: String::new(),
                key: Vec::new().into(),
                credentials: Vec::new(),
            },
            authorities: "PEM".to_owned(),
        }));
        bound.apply(&mut spec);
        let value = |wanted: &str| {
            let mut values = spec.env.iter().filter(|(name, _)| name == wanted);
            let value = values.next().map(|(_, value)| value.as_str());
            assert!(values.next().is_none());
            value
        };
        assert_eq!(value("SSL_CERT_FILE"), Some("/own.pem"));
        assert_eq!(value("NODE_EXTRA_CA_CERTS"), Some(BUNDLE));
        assert_eq!(spec.private_files.len(), 1);
    }
}
