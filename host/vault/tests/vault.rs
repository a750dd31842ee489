//! The vault against real files and real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Barrier,
    time::{Duration, Instant},
};

use aod_vault::{Binding, Error, OpenError, Options, Sealed, Vault};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

fn options(folder: &TempDir) -> Options {
    Options::new(folder.path().join("data/vault"))
}

fn binding() -> Binding {
    Binding::new("ada", "environment_variable", "7", "API_KEY")
}

fn secret() -> SecretString {
    SecretString::from("hunter2-hunter2")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn opened(vault: &Vault, binding: &Binding, sealed: &Sealed) -> Result<String, OpenError> {
    vault
        .open_sealed(binding, sealed)
        .map(|secret| secret.expose_secret().to_owned())
}

#[test]
fn a_first_start_makes_private_files_and_a_second_one_opens_what_the_first_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(options(&folder)).unwrap();
    let sealed = vault.seal(&binding(), &secret()).unwrap();
    vault.self_test().unwrap();
    let home = options(&folder).folder;
    assert_eq!(mode(&home), 0o700);
    for name in ["identity.txt", "mac.age", "lock"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
    }
    let again = Vault::open(options(&folder)).unwrap();
    assert_eq!(
        opened(&again, &binding(), &sealed).unwrap(),
        "hunter2-hunter2"
    );
    assert_eq!(again.recipient(), vault.recipient());
    assert!(again.recipient().starts_with("age1"));
    assert_eq!(again.mac("a", b"b"), vault.mac("a", b"b"));
    assert_ne!(again.mac("ab", b""), vault.mac("a", b"b"));
}

#[test]
fn a_value_moved_to_any_other_place_is_refused_and_both_places_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(options(&folder)).unwrap();
    let sealed = vault.seal(&binding(), &secret()).unwrap();
    let moves: [fn(&mut Binding); 5] = [
        |it| it.owner = "eve".to_owned(),
        |it| it.kind = "credential".to_owned(),
        |it| it.record = "8".to_owned(),
        |it| it.name = "OTHER".to_owned(),
        |it| {
            it.record = String::new();
            it.name = "7API_KEY".to_owned();
        },
    ];
    for change in moves {
        let mut wanted = binding();
        change(&mut wanted);
        let error = opened(&vault, &wanted, &sealed).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&wanted.to_string()) && said.contains(&binding().to_string()));
        assert!(!said.contains("hunter2"));
        let (wanted, found) = (Box::new(wanted), Box::new(binding()));
        assert_eq!(error, OpenError::Misplaced { wanted, found });
    }
}

#[test]
fn another_vault_opens_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [mine, other] = folders
        .each_ref()
        .map(|it| Vault::open(options(it)).unwrap());
    let sealed = mine.seal(&binding(), &secret()).unwrap();
    let error = opened(&other, &binding(), &sealed).unwrap_err();
    assert!(matches!(error, OpenError::WrongIdentity { .. }));
    assert_ne!(mine.mac("a", b"b"), other.mac("a", b"b"));
}

#[test]
fn what_others_can_reach_is_refused_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = options(&folder).folder;
    let vault = Vault::open(options(&folder)).unwrap();
    for (path, bad, good) in [
        (home.clone(), 0o750, 0o700),
        (home.join("identity.txt"), 0o640, 0o600),
        (home.join("identity.txt"), 0o604, 0o600),
        (home.join("mac.age"), 0o660, 0o600),
    ] {
        set_mode(&path, bad);
        let error = Vault::open(options(&folder)).unwrap_err();
        assert!(matches!(error, Error::Exposed { .. }), "{error}");
        let mend = format!("chmod {good:03o} {}", path.display());
        assert!(error.to_string().contains(&mend), "{error}");
        set_mode(&path, good);
        Vault::open(options(&folder)).unwrap();
    }
    // Also while it is in use.
    set_mode(&home.join("identity.txt"), 0o644);
    let error = vault.seal(&binding(), &secret()).unwrap_err();
    assert!(matches!(error, Error::Exposed { .. }), "{error}");
    assert!(vault.self_test().is_err());
}

#[test]
fn a_lost_or_exchanged_identity_is_not_replaced_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let first = Vault::open(options(&folder)).unwrap();
    let file = first.identity_file().to_owned();
    let kept = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let error = Vault::open(options(&folder)).unwrap_err();
    assert!(
        matches!(&error, Error::Missing { path } if *path == file),
        "{error}"
    );
    assert!(!file.exists());
    // The running vault has its identity still.
    first.self_test().unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let other = Vault::open(options(&elsewhere)).unwrap();
    fs::copy(other.identity_file(), &file).unwrap();
    let error = Vault::open(options(&folder)).unwrap_err();
    assert!(
        matches!(&error, Error::WrongIdentity { recipient, .. } if *recipient == other.recipient()),
        "{error}"
    );

    for rubbish in ["", "# nothing\n", "AGE-SECRET-KEY-1QQQ\n", "\u{0}\u{1}"] {
        fs::write(&file, rubbish).unwrap();
        let error = Vault::open(options(&folder)).unwrap_err();
        assert!(matches!(error, Error::NotAnIdentity { .. }), "{error}");
    }
    fs::write(&file, kept).unwrap();
    Vault::open(options(&folder)).unwrap();
}

#[test]
fn an_identity_may_lie_elsewhere_and_is_then_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    let elsewhere = Options {
        identity_file: Some(file.clone()),
        ..options(&folder)
    };
    let error = Vault::open(elsewhere.clone()).unwrap_err();
    assert!(
        matches!(&error, Error::Missing { path } if *path == file),
        "{error}"
    );

    // As age-keygen writes it.
    let secret_key = age::x25519::Identity::generate().to_string();
    let text = format!(
        "# created: today\n# public key: age1x\n{}\n",
        secret_key.expose_secret()
    );
    fs::write(&file, text).unwrap();
    set_mode(&file, 0o600);
    let vault = Vault::open(elsewhere.clone()).unwrap();
    let sealed = vault.seal(&binding(), &secret()).unwrap();
    assert!(!elsewhere.folder.join("identity.txt").exists());

    vault.begin_rotation().unwrap();
    let sealed = vault.reseal(&binding(), &sealed).unwrap().unwrap();
    vault.finish_rotation().unwrap();
    assert_ne!(
        fs::read_to_string(&file).unwrap().lines().last(),
        Some(secret_key.expose_secret())
    );
    let again = Vault::open(elsewhere).unwrap();
    assert_eq!(
        opened(&again, &binding(), &sealed).unwrap(),
        "hunter2-hunter2"
    );
}

#[test]
fn a_passphrase_protects_the_identity_and_a_rotation_can_bring_one() {
    let folder = tempfile::tempdir().unwrap();
    let with = |passphrase: Option<&str>| Options {
        passphrase: passphrase.map(SecretString::from),
        work_factor: Some(8),
        ..options(&folder)
    };
    let open = Vault::open(with(None)).unwrap();
    assert!(!open.is_protected());
    let sealed = open.seal(&binding(), &secret()).unwrap();
    drop(open);

    let vault = Vault::open(with(Some("correct horse"))).unwrap();
    assert!(
        !vault.is_protected(),
        "an identity is protected when it is made"
    );
    vault.begin_rotation().unwrap();
    let sealed = vault.reseal(&binding(), &sealed).unwrap().unwrap();
    vault.finish_rotation().unwrap();
    assert!(vault.is_protected());
    let text = fs::read_to_string(vault.identity_file()).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
    assert!(!format!("{:?}", with(Some("correct horse"))).contains("horse"));

    let again = Vault::open(with(Some("correct horse"))).unwrap();
    assert_eq!(
        opened(&again, &binding(), &sealed).unwrap(),
        "hunter2-hunter2"
    );
    let error = Vault::open(with(None)).unwrap_err();
    assert!(matches!(error, Error::PassphraseNeeded { .. }), "{error}");
    let error = Vault::open(with(Some("wrong horse"))).unwrap_err();
    assert!(matches!(error, Error::WrongPassphrase { .. }), "{error}");
    assert!(!error.to_string().contains("horse"));

    let fresh = tempfile::tempdir().unwrap();
    let made = Options {
        folder: fresh.path().join("vault"),
        ..with(Some("correct horse"))
    };
    assert!(Vault::open(made).unwrap().is_protected());
}

#[test]
fn first_starts_that_race_make_one_identity() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(8);
        let vaults: Vec<Vault> = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                Vault::open(options(&folder)).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let sealed = vaults[0].seal(&binding(), &secret()).unwrap();
        for vault in &vaults {
            assert_eq!(
                opened(vault, &binding(), &sealed).unwrap(),
                "hunter2-hunter2"
            );
            assert_eq!(vault.mac("a", b"b"), vaults[0].mac("a", b"b"));
        }
    }
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(options(&folder)).unwrap();
    let identity = fs::read_to_string(vault.identity_file()).unwrap();
    let identity = identity.lines().last().unwrap();
    let sealed = vault.seal(&binding(), &secret()).unwrap();
    let printed = format!(
        "{vault:?} {sealed:?} {:?}",
        vault.open_sealed(&binding(), &sealed)
    );
    assert!(printed.contains("[redacted]"), "{printed}");
    assert!(
        !printed.contains("hunter2") && !printed.contains(identity),
        "{printed}"
    );
    let stored = sealed.as_bytes();
    assert!(!stored.windows(7).any(|window| window == b"hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_in_any_place_comes_back(
        text in "\\PC{0,300}|[\\x00-\\x7f]{0,40}", owner in ".{0,40}", kind in ".{0,20}",
        record in ".{0,40}", name in ".{0,40}",
    ) {
        thread_local! {
            static VAULT: (TempDir, Vault) = {
                let folder = tempfile::tempdir().unwrap();
                let vault = Vault::open(options(&folder)).unwrap();
                (folder, vault)
            };
        }
        VAULT.with(|(_, vault)| {
            let binding = Binding::new(owner, kind, record, name);
            let sealed = vault.seal(&binding, &SecretString::from(text.as_str())).unwrap();
            let stored = Sealed::from(sealed.clone().into_bytes());
            assert_eq!(opened(vault, &binding, &stored).unwrap(), text);
            assert!(!vault.needs_rotation(&stored));
            let fields = [&binding.owner, &binding.kind, &binding.record, &binding.name];
            let inside = text.len() + fields.map(|it| 4 + it.len()).iter().sum::<usize>() + 1;
            // age adds a stanza of random length to catch readers that take its format for less
            // than it is.
            assert!(stored.as_bytes().len() <= inside + 512);
        });
    }

    #[test]
    fn a_changed_or_cut_value_never_opens(at in any::<prop::sample::Index>(), bit in 0..8) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(options(&folder)).unwrap();
        let sealed = vault.seal(&binding(), &secret()).unwrap().into_bytes();
        let at = at.index(sealed.len());
        let mut changed = sealed.clone();
        changed[at] ^= 1_u8 << bit;
        prop_assert!(opened(&vault, &binding(), &changed.into()).is_err());
        prop_assert!(opened(&vault, &binding(), &sealed[..at].to_vec().into()).is_err());
    }
}

/// A folder of sealed values, one file each, as a stand-in for any store.
struct Records(PathBuf);

impl Records {
    const COUNT: usize = 8;

    fn binding(number: usize) -> Binding {
        Binding::new("ada", "credential", number, "KEY")
    }

    fn path(&self, number: usize) -> PathBuf {
        self.0.join(number.to_string())
    }

    fn read(&self, number: usize) -> Sealed {
        fs::read(self.path(number)).unwrap().into()
    }

    fn replace(&self, number: usize, sealed: &Sealed) {
        let temporary = self.0.join("temporary");
        fs::write(&temporary, sealed.as_bytes()).unwrap();
        fs::rename(&temporary, self.path(number)).unwrap();
    }

    fn rotate(&self, vault: &Vault) {
        vault.begin_rotation().unwrap();
        for number in 0..Self::COUNT {
            let resealed = vault.reseal(&Self::binding(number), &self.read(number));
            if let Some(resealed) = resealed.unwrap() {
                self.replace(number, &resealed);
            }
        }
        vault.finish_rotation().unwrap();
    }

    fn check(&self, vault: &Vault) {
        for number in 0..Self::COUNT {
            let found = opened(vault, &Self::binding(number), &self.read(number));
            assert_eq!(found.unwrap(), format!("secret {number}"));
        }
    }
}

const CHILD_FOLDER: &str = "AOD_VAULT_TEST_FOLDER";

/// What the next test kills: rotates without end.
#[test]
#[ignore = "run by another test as a process of its own"]
fn rotating_child() {
    let folder = PathBuf::from(std::env::var_os(CHILD_FOLDER).unwrap());
    let vault = Vault::open(Options::new(folder.join("vault"))).unwrap();
    let records = Records(folder.join("records"));
    loop {
        records.rotate(&vault);
        // Tells that a whole rotation was done.
        fs::write(folder.join("rotated"), vault.recipient()).unwrap();
    }
}

/// Ends with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_rotation_killed_at_any_instant_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().join("vault"));
    let records = Records(folder.path().join("records"));
    fs::create_dir(&records.0).unwrap();
    let vault = Vault::open(options.clone()).unwrap();
    for number in 0..Records::COUNT {
        let secret = SecretString::from(format!("secret {number}"));
        let sealed = vault.seal(&Records::binding(number), &secret).unwrap();
        records.replace(number, &sealed);
    }
    drop(vault);

    let (mut interrupted, mut recipients) = (0, std::collections::HashSet::new());
    for round in 0..40_u64 {
        let rotated = folder.path().join("rotated");
        let _ = fs::remove_file(&rotated);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rotating_child", "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !rotated.exists() {
            assert!(Instant::now() < deadline, "the child does not rotate");
            assert!(child.0.try_wait().unwrap().is_none(), "the child failed");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Then at another instant each time: this picks the instant and waits for nothing.
        std::thread::sleep(Duration::from_micros(round * 7919 % 30_000));
        drop(child);

        let vault = Vault::open(options.clone()).unwrap();
        records.check(&vault);
        interrupted += u32::from(vault.is_rotating());
        recipients.insert(vault.recipient());
        if round % 4 == 0 {
            records.rotate(&vault);
            records.check(&Vault::open(options.clone()).unwrap());
        }
    }
    // Else the test would not have tested what it says.
    assert!(
        interrupted >= 10,
        "only {interrupted} of 40 kills fell into a rotation"
    );
    assert!(
        recipients.len() >= 20,
        "only {} identities in 40 rounds",
        recipients.len()
    );
}
