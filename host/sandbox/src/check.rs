//! Rules that a spec has to keep, whatever the driver.

use std::path::{Component, Path};

use crate::{SandboxError, SandboxSpec};

/// The longest single argument or variable that Linux passes to a program, its NUL included.
const LONGEST_STRING: u64 = 128 << 10;
/// What arguments and variables may take together: never less, never more, and a quarter of the
/// stack's limit in between.
const TOGETHER: (u64, u64) = (128 << 10, 6 << 20);
/// Kept free for what drivers and the kernel add themselves.
const RESERVE: u64 = 16 << 10;

/// Checks what every driver relies on.
pub(crate) fn check(spec: &SandboxSpec) -> Result<(), SandboxError> {
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(SandboxError::invalid("there is no command"));
    }
    if let Some(at) = spec
        .argv
        .iter()
        .position(|argument| argument.contains('\0'))
    {
        return Err(SandboxError::invalid(format!(
            "argument {at} contains a NUL byte"
        )));
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(SandboxError::invalid(format!(
                "{name:?} is not a variable's name"
            )));
        }
        if value.contains('\0') {
            return Err(SandboxError::invalid(format!(
                "the value of `{name}` contains a NUL byte"
            )));
        }
    }
    fits(spec)?;

    absolute("working directory", &spec.cwd)?;
    folder("home", &spec.home)?;
    folder("workspace", &spec.workspace)?;
    for mount in spec.read_only.iter().chain(&spec.writable) {
        absolute("mount", &mount.host)?;
        absolute("mount point", &mount.inside)?;
        if let Err(source) = mount.host.metadata() {
            return Err(SandboxError::io(
                format!("mount `{}`", mount.host.display()),
                source,
            ));
        }
    }
    if let Some(layer) = &spec.system_layer {
        folder("layer", &layer.files)?;
        folder("layer's mount points", &layer.views)?;
    }
    if let Some(change) = &spec.system_change {
        for (what, path) in [
            ("changed system", &change.files),
            ("system's base", &change.base),
            ("kernel's folder", &change.work),
            ("system's mount points", &change.views),
        ] {
            folder(what, path)?;
        }
    }
    for file in &spec.private_files {
        absolute("private file", &file.path)?;
        if file.path.file_name().is_none() || file.mode & !0o777 != 0 {
            return Err(SandboxError::invalid(format!(
                "private file `{}` with mode {:#o}",
                file.path.display(),
                file.mode
            )));
        }
    }
    for (name, _) in &spec.hosts {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(SandboxError::invalid(format!(
                "{name:?} is not a host's name"
            )));
        }
    }
    Ok(())
}

fn fits(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let mut together = 0;
    let mut add = |what: &dyn Fn() -> String, length: usize| {
        let bytes = length as u64 + 1;
        together += bytes + size_of::<usize>() as u64;
        if bytes > LONGEST_STRING {
            return Err(SandboxError::TooLong {
                what: what(),
                bytes,
                limit: LONGEST_STRING,
            });
        }
        Ok(())
    };
    for (at, argument) in spec.argv.iter().enumerate() {
        add(
            &|| format!("argument {at} of `{}`", short(&spec.argv[0])),
            argument.len(),
        )?;
    }
    for (name, value) in &spec.env {
        add(
            &|| format!("variable `{}`", short(name)),
            name.len() + 1 + value.len(),
        )?;
    }
    let stack = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    let limit = stack.map_or(TOGETHER.1, |stack| {
        (stack / 4).clamp(TOGETHER.0, TOGETHER.1)
    });
    if together + RESERVE > limit {
        return Err(SandboxError::TooLong {
            what: "the command with its arguments and environment".into(),
            bytes: together + RESERVE,
            limit,
        });
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn absolute(what: &str, path: &Path) -> Result<(), SandboxError> {
    let plain = path.is_absolute()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !path.as_os_str().as_encoded_bytes().contains(&0);
    if plain {
        Ok(())
    } else {
        Err(SandboxError::invalid(format!(
            "{what} `{}` is not an absolute path without `..`",
            path.display()
        )))
    }
}

fn folder(what: &str, path: &Path) -> Result<(), SandboxError> {
    absolute(what, path)?;
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(SandboxError::invalid(format!(
            "{what} `{}` is not a folder",
            path.display()
        ))),
        Err(source) => Err(SandboxError::io(
            format!("use `{}` as the {what}", path.display()),
            source,
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Mount, PrivateFile};

    fn spec(argv: &[&str]) -> SandboxSpec {
        SandboxSpec::new(argv.iter().map(|s| (*s).into()).collect(), "/tmp", "/tmp")
    }

    #[test]
    fn rejects_what_cannot_be_passed_on() {
        assert!(check(&spec(&["true"])).is_ok());
        assert!(check(&spec(&[])).is_err());
        assert!(check(&spec(&["a\0b"])).is_err());

        let mut bad = spec(&["true"]);
        bad.env.push(("A=B".into(), String::new().into()));
        assert!(check(&bad).is_err());

        let mut bad = spec(&["true"]);
        bad.hosts.push(("a b".into(), [127, 0, 0, 1].into()));
        assert!(check(&bad).is_err());

        let mut bad = spec(&["true"]);
        bad.read_only.push(Mount::new("/tmp", "/opt/../etc"));
        assert!(check(&bad).is_err());

        let mut bad = spec(&["true"]);
        let path = "/run/aod/x".into();
        bad.private_files.push(PrivateFile {
            path,
            mode: 0o4755,
            content: Vec::new().into(),
        });
        assert!(check(&bad).is_err());
    }

    #[test]
    fn names_the_variable_that_is_too_long_but_not_its_value() {
        let mut long = spec(&["true"]);
        long.env
            .push(("KEY".into(), "s3cret".repeat(30_000).into()));
        let error = check(&long).unwrap_err().to_string();
        assert!(
            error.contains("`KEY`") && !error.contains("s3cret"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_error_and_no_debug_output_holds_a_value(
            name in "[A-Z=\0]{0,4}", noise in "[\0-\u{7f}]{0,40}",
        ) {
            let value = format!("{noise}-s3cret-{noise}");
            let mut spec = spec(&["true"]);
            spec.env.push((name, value.clone().into()));
            let content = value.into_bytes().into();
            spec.private_files.push(PrivateFile { path: "/run/x".into(), mode: 0o600, content });
            let seen = format!("{spec:?}");
            prop_assert!(!seen.contains("s3cret"));
            if let Err(error) = check(&spec) {
                let seen = format!("{error} {error:?}");
                prop_assert!(!seen.contains("s3cret"));
            }
        }
    }
}
