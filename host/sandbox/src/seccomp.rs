//! The filter over system calls that every sandboxed process runs under.
//!
//! A list of refusals, not of permissions: agents run compilers, browsers' helpers, databases and
//! whatever their user asks for, and a list of permissions would break them with every kernel. What
//! is refused is what no program of an ordinary user needs and what kernel exploits are built from.
//!
//! - Refused with `EPERM`: mounting (old and new calls), new or foreign namespaces, kernel modules
//!   and kexec, `bpf`, `perf_event_open`, the kernel's key rings, `userfaultfd`, `io_uring`, file
//!   handles, `fanotify`, clocks, swap, quotas, accounting, the kernel's log, rebooting, port access,
//!   segment descriptors, executing in odd personalities, pushing input into a terminal, socket
//!   families other than unix, IPv4, IPv6 and routing netlink.
//! - Answered with `ENOSYS`: `clone3`, whose flags lie in memory where a filter cannot read them, so
//!   that libraries fall back to `clone`; the x32 variants of all calls.
//! - The process is killed: calls of another architecture.
//!
//! `ptrace` is **allowed**: debuggers and tracers are tools that agents use, a tracer can reach only
//! processes of its own sandbox (pid namespace), and those share its user, its lack of capabilities
//! and this filter, which tracing does not lift. The sandbox's init does not let itself be traced. Reading a sibling's memory gains nothing that
//! reading its `/proc/<pid>/environ` would not.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// Calls refused whatever their arguments.
const REFUSED: &[i64] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// `open_tree_attr`, younger than the C library's list; one number on every architecture.
const OPEN_TREE_ATTR: i64 = 467;
/// `clone3`; one number on every architecture.
const CLONE3: u32 = 435;
/// `kexec_file_load`, missing from the C library's list of some architectures.
const KEXEC_FILE_LOAD: i64 = if cfg!(target_arch = "x86_64") {
    320
} else {
    294
};

/// Flags of `clone` and `unshare` that make a namespace.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// A time namespace, for `unshare` only: in `clone` the bit is part of the exit signal.
const CLONE_NEWTIME: i32 = 0x80;

/// Terminal requests that push input into another program's terminal or console.
const REFUSED_IOCTLS: &[u64] = &[0x5412 /* TIOCSTI */, 0x541C /* TIOCLINUX */];

/// Personalities that remain possible: the ordinary one, the 32-bit one, those with the old kernel
/// version, asking for the current one, and the fixed address layout that debuggers set.
const PERSONALITIES: &[u64] = &[0, 0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff];

/// Socket families that remain possible.
const FAMILIES: &[i32] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// The filter for the architecture this crate was built for, as the bytes that bubblewrap's
/// `--seccomp` reads: an array of `struct sock_filter`.
///
/// # Errors
///
/// On an architecture that the filter was not written for.
pub fn filter() -> Result<Vec<u8>, FilterError> {
    let program = std::env::consts::ARCH
        .try_into()
        .and_then(program)
        .map_err(FilterError)?;
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in &program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    Ok(bytes)
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
#[error("no system call filter for this machine's architecture: {0}")]
pub struct FilterError(BackendError);

fn program(arch: TargetArch) -> Result<BpfProgram, BackendError> {
    let filter: BpfProgram = SeccompFilter::new(
        rules()?,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        arch,
    )?
    .try_into()?;
    let mut program = prologue();
    program.extend(filter);
    Ok(program)
}

/// What one list of refusals with one answer cannot say. Falls through into the list, which checks
/// the architecture first; jumps are relative, so it may stand in front.
fn prologue() -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Numbers from here on are x32 calls, which pass for x86-64 in the architecture check. No other
    // architecture has numbers this high.
    const X32: u32 = 0x4000_0000;
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    [
        (LOAD, 0, 0, 0), // the call's number is the first field of `struct seccomp_data`
        (AT_LEAST, 1, 0, X32),
        (EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, no_such_call),
    ]
    .map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k })
    .to_vec()
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();

    let flags = |flags: &[i32]| -> Result<Vec<SeccompRule>, BackendError> {
        let has = |flag: &i32| argument(0, SeccompCmpOp::MaskedEq(*flag as u64), *flag as u64);
        flags
            .iter()
            .map(|flag| SeccompRule::new(vec![has(flag)?]))
            .collect()
    };
    rules.insert(libc::SYS_clone, flags(NAMESPACES)?);
    rules.insert(
        libc::SYS_unshare,
        flags(&[NAMESPACES, &[CLONE_NEWTIME]].concat())?,
    );

    let ioctls = REFUSED_IOCTLS
        .iter()
        .map(|request| SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, *request)?]))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, ioctls);

    rules.insert(libc::SYS_personality, vec![none_of(0, PERSONALITIES)?]);

    let families: Vec<u64> = FAMILIES.iter().map(|family| *family as u64).collect();
    let netlink = SeccompRule::new(vec![
        argument(0, SeccompCmpOp::Eq, libc::AF_NETLINK as u64)?,
        argument(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE as u64)?,
    ])?;
    rules.insert(libc::SYS_socket, vec![none_of(0, &families)?, netlink]);
    Ok(rules)
}

/// Matches when argument `index` is none of `allowed`.
fn none_of(index: u8, allowed: &[u64]) -> Result<SeccompRule, BackendError> {
    let conditions = allowed
        .iter()
        .map(|value| argument(index, SeccompCmpOp::Ne, *value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

/// A condition on the lower half of an argument: the kernel reads the arguments looked at here as
/// 32 bits, and comparing all 64 would let a set upper bit slip through.
fn argument(
    index: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_architectures_compile_within_the_kernels_limit() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            let program = program(arch).unwrap();
            assert!(
                program.len() > REFUSED.len() && program.len() < 4096,
                "{}",
                program.len()
            );
        }
    }

    #[test]
    fn bytes_are_eight_for_each_instruction() {
        let bytes = filter().unwrap();
        assert_eq!(bytes.len() % 8, 0);
        // The first instruction loads the call's number.
        assert_eq!(u16::from_ne_bytes([bytes[0], bytes[1]]), 0x20);
    }
}
