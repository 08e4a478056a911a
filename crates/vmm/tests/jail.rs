//! The jail, from inside: `firn-jail-probe` enters it as `firn-vmm` does and tries to get out.
//!
//! As root all levels are tried, each with a user of its own; as another user those that it can have.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::undocumented_unsafe_blocks,
    reason = "a failed test panics"
)]

#[path = "harness/probe.rs"]
mod probe;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use firn_vmm::ErrorCode;
use firn_vmm::jail::cgroup::{Cgroup, CgroupLimits, remove_abandoned};
use firn_vmm::jail::{CgroupReport, JailLevel, JailOptions};
use rustix::process::{Signal, pidfd_send_signal};

use self::probe::{Probe, is_root, options, probe, start};

fn attempt(level: JailLevel, name: &str) -> Probe {
    probe(&options(Some(level)), &[&format!("--probe-attempt={name}")])
}

fn attempt_without_filter(level: JailLevel, name: &str) -> Probe {
    probe(&options(Some(level)), &["--probe-without-filter", &format!("--probe-attempt={name}")])
}

/// The levels that this user can have here.
fn levels() -> Vec<JailLevel> {
    JailLevel::ALL.into_iter().filter(|level| attempt(*level, "work").jail.is_ok()).collect()
}

/// The version of Landlock that a process can have here, 0 for none, as the kernel says it.
fn landlock_of_kernel() -> u8 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    let nothing = std::ptr::null::<u8>();
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, LANDLOCK_CREATE_RULESET_VERSION)
    };
    u8::try_from(version.clamp(0, NEWEST_LANDLOCK)).unwrap()
}

/// The newest whose rights Firn knows.
const NEWEST_LANDLOCK: i64 = 6;

#[test]
fn root_can_have_every_level_and_what_a_vmm_does_works_in_each() {
    let mut seen = Vec::new();
    for level in JailLevel::ALL {
        let probe = attempt(level, "work");
        match &probe.jail {
            Ok(report) => {
                assert_eq!(report.level, level);
                assert_eq!(report.landlock, landlock_of_kernel());
                assert_eq!(probe.said, "worked: true true true", "{probe:?}");
                if is_root() {
                    assert!(report.uid >= 2_000_000_000, "{report:?}");
                }
                seen.push(level);
            }
            Err(error) => assert_eq!(error.code, ErrorCode::JailUnavailable),
        }
    }
    assert!(seen.contains(&JailLevel::Minimal));
    assert!(!is_root() || seen.contains(&JailLevel::Root), "{seen:?}");
}

#[test]
fn auto_is_the_first_level_that_can_be_had_and_says_why_not_the_others() {
    let first = levels()[0];
    let report = probe(&options(None), &["--probe-attempt=work"]).jail.unwrap();
    assert_eq!(report.level, first);
    let before = JailLevel::ALL.iter().position(|level| *level == first).unwrap();
    let reasons: Vec<_> = report.missing.iter().filter(|text| text.starts_with("no level ")).collect();
    assert_eq!(reasons.len(), before, "{report:?}");
}

#[test]
fn a_level_that_cannot_be_had_is_an_error_and_not_another_level() {
    let without_user = JailOptions { ids: None, ..options(Some(JailLevel::Root)) };
    let error = probe(&without_user, &["--probe-attempt=work"]).jail.unwrap_err();
    assert_eq!(error.code, ErrorCode::JailUnavailable);
    assert!(error.message.starts_with("the jail level root cannot be had: it "), "{}", error.message);
}

/// The children of this process that are of a group, those included that wait to be reaped. What a launcher has tried in a child of its own
/// is not among them.
fn members(group: u32) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let wanted = format!(" {} {group} ", std::process::id());
    stats.filter(|stat| stat.rsplit_once(')').unwrap().1[2..].starts_with(&wanted)).collect()
}

#[test]
fn a_successor_that_nobody_hears_of_is_ended_and_reaped_with_its_launcher() {
    for level in levels() {
        let (own, mut process) = start(&options(Some(level)), &["--probe-attempt=work"]);
        drop(own);
        let group = process.pid();
        process.wait().unwrap();
        assert_eq!(members(group), [""; 0], "{level}");
    }
}

#[test]
fn a_launcher_that_is_killed_at_any_moment_leaves_no_process() {
    for level in levels() {
        let began = Instant::now();
        attempt(level, "work");
        let whole = began.elapsed();
        for step in 0..30 {
            let (own, mut process) = start(&options(Some(level)), &["--probe-attempt=work"]);
            let group = process.pid();
            std::thread::sleep(whole * step / 30);
            let _ended = pidfd_send_signal(&**process.pidfd(), Signal::KILL);
            process.wait().unwrap();
            drop(own);
            assert_eq!(members(group), [""; 0], "{level}, killed after {step} of 30");
        }
    }
}

#[test]
fn files_are_out_of_reach_without_the_filter_too() {
    for level in levels() {
        let landlock = landlock_of_kernel();
        for name in [
            "open:/etc/passwd",
            "open:/dev/kvm",
            "open:/proc/1/status",
            "open:/",
            "create:/firn-probe",
            "execve:/bin/sh",
        ] {
            let probe = attempt_without_filter(level, name);
            let root = name == "open:/" && level != JailLevel::Minimal;
            // Without Landlock the empty root can be opened, and there is nothing in it.
            assert!(
                probe.was_refused() || (landlock == 0 && (root || level == JailLevel::Minimal)),
                "{level} {name}: {probe:?}"
            );
        }
        if level != JailLevel::Minimal {
            for name in ["stat:/etc", "stat:/proc/self", "stat:/dev", "stat:/sys"] {
                assert!(attempt_without_filter(level, name).was_refused(), "{level} {name}");
            }
        }
    }
}

#[test]
fn the_network_and_sockets_of_others_are_out_of_reach_without_the_filter_too() {
    let name = format!("firn-probe-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    for level in levels() {
        let landlock = landlock_of_kernel();
        for (attempt, since) in [(format!("abstract-connect:{name}"), 6), (format!("tcp-connect:{port}"), 4)]
        {
            let probe = attempt_without_filter(level, &attempt);
            if level != JailLevel::Minimal || landlock >= since {
                assert!(probe.was_refused(), "{level} {attempt}: {probe:?}");
            }
        }
    }
}

/// A byte of this process, as the attempt to read it takes it, which whoever may can read.
fn readable_byte() -> String {
    static BYTE: u8 = 7;
    let mut read = 0_u8;
    let local = libc::iovec { iov_base: (&raw mut read).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: (&raw const BYTE).cast_mut().cast(), iov_len: 1 };
    let pid = libc::pid_t::try_from(std::process::id()).unwrap();
    assert_eq!(unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) }, 1);
    assert_eq!(read, BYTE);
    format!("{pid}@{}", (&raw const BYTE).addr())
}

#[test]
fn other_processes_and_privileges_are_out_of_reach_without_the_filter_too() {
    let own = std::process::id();
    for level in levels() {
        for name in [format!("ptrace:{own}"), format!("process_vm_readv:{}", readable_byte())] {
            let probe = attempt_without_filter(level, &name);
            assert!(probe.was_denied_a_process(), "{level} {name}: {probe:?}");
        }
        for name in ["setuid".to_owned(), "setgroups".to_owned(), "mount".to_owned()] {
            let probe = attempt_without_filter(level, &name);
            assert!(probe.was_refused(), "{level} {name}: {probe:?}");
        }
        let landlock = landlock_of_kernel();
        if level != JailLevel::Minimal || is_root() || landlock >= 6 {
            let probe = attempt_without_filter(level, &format!("kill:{own}"));
            assert!(probe.was_denied_a_process(), "{level}: {probe:?}");
        }
    }
}

#[test]
fn the_limits_of_a_process_are_set_for_good() {
    for level in levels() {
        let probe = attempt(level, "work");
        let mut limits = vec![
            ("Max core file size", "0"),
            ("Max open files", "512"),
            ("Max file size", "68719476736"),
            ("Max locked memory", "0"),
            ("Max msgqueue size", "0"),
        ];
        if level == JailLevel::Root {
            limits.push(("Max processes", "64"));
        }
        for (name, limit) in limits {
            assert_eq!(probe.limit(name), [limit, limit], "{level}: {name}");
        }
    }
}

#[test]
fn where_memory_lies_in_the_host_is_not_told() {
    for level in levels() {
        assert_eq!(attempt(level, "frame-number").said, "refused: present 1", "{level}");
    }
}

#[test]
fn a_fault_ends_the_process_by_its_own_signal() {
    for level in levels() {
        for name in ["fault", "vcpu-fault"] {
            let probe = attempt(level, name);
            assert!(
                probe.said.is_empty() && probe.status.signal() == Some(libc::SIGSEGV),
                "{level} {name}: {probe:?}"
            );
        }
    }
}

#[test]
fn the_filter_ends_every_attempt() {
    let own = std::process::id();
    let mut names: Vec<String> = [
        "open:/etc/passwd",
        "open:/proc/1/status",
        "create:/firn-probe",
        "stat:/etc",
        "mount",
        "execve:/bin/sh",
        "netlink",
        "setuid",
        "setgroups",
        "fork",
        "unshare",
        "mmap-exec",
        "mprotect-exec",
        "memfd-exec",
        "ioctl:21505",
        "madvise:9",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(
        [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_VSOCK]
            .map(|family| format!("socket:{family}")),
    );
    names.extend(["kill", "ptrace", "tgkill-other"].map(|name| format!("{name}:{own}")));
    names.push(format!("process_vm_readv:{}", readable_byte()));
    for level in levels() {
        for name in &names {
            let probe = attempt(level, name);
            assert!(probe.was_killed_by_filter(), "{level} {name}: {probe:?}");
        }
    }
}

/// Numbers of system calls up to here are tried; Linux 6.12 ends at 462.
const LAST: i64 = 480;

/// The system calls that every thread may make with any arguments. A change of the lists that is not made here too fails the test.
const EVERY_THREAD: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_timerfd_settime,
    libc::SYS_close,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_shutdown,
    libc::SYS_ppoll,
    libc::SYS_sched_getaffinity,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// System calls that the kernel keeps from every filter, because it makes them itself: uretprobe and uprobe, which end a process that makes
/// them by another signal.
const UNFILTERED: &[i64] = if cfg!(target_arch = "x86_64") { &[335, 336] } else { &[] };

/// Those that only the main thread may make besides.
const MAIN_ONLY: &[i64] = &[
    libc::SYS_timerfd_create,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_getsockopt,
    libc::SYS_pwrite64,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_clone3,
];

#[test]
fn every_unlisted_system_call_ends_the_process() {
    let passed =
        |number: &i64| [EVERY_THREAD, MAIN_ONLY, UNFILTERED].iter().any(|list| list.contains(number));
    for number in (0..LAST).filter(|number| !passed(number)) {
        let probe = attempt(JailLevel::Minimal, &format!("syscall:{number}"));
        assert!(probe.was_killed_by_filter(), "{number}: {probe:?}");
    }
    for number in MAIN_ONLY.iter().chain(&[libc::SYS_openat, libc::SYS_clone, libc::SYS_seccomp]) {
        let probe = attempt(JailLevel::Minimal, &format!("vcpu-syscall:{number}"));
        assert!(probe.was_killed_by_filter(), "{number} in a vCPU thread: {probe:?}");
    }
    let probe = attempt(JailLevel::Minimal, &format!("syscall:{}", libc::SYS_clone3));
    assert_eq!(probe.said, "refused: Function not implemented (os error 38)");
}

#[test]
fn a_cgroup_holds_the_process_and_is_removed_behind_it() {
    let limits = CgroupLimits {
        memory_bytes: Some(64 << 20),
        is_memory_swapped: false,
        pids: Some(16),
        cpu_thousandths: Some(500),
    };
    let cgroup = match Cgroup::create(None, 1, limits) {
        Ok(cgroup) => cgroup,
        // Whoever may not make one is told why; a host that has none has nothing to test.
        Err(error) => return assert!(!(error.is_empty() || is_root() && has_cgroup()), "{error}"),
    };
    let path = cgroup.path().to_owned();
    let controllers = std::fs::read_to_string(path.join("cgroup.controllers")).unwrap();
    let has = |name| controllers.split_whitespace().any(|controller| controller == name);
    let options = JailOptions { cgroup: Some(path.clone()), ..options(None) };
    let report = probe(&options, &["--probe-attempt=work"]).jail.unwrap();
    let expected = CgroupReport { memory: has("memory"), pids: has("pids"), cpu: has("cpu") };
    assert_eq!(report.cgroup, Some(expected));
    drop(cgroup);
    assert!(!path.exists());

    let abandoned = path.with_file_name("firn-vmm-4194305-1");
    std::fs::create_dir_all(abandoned.join("busy")).unwrap();
    assert!(!remove_abandoned(None));
    std::fs::remove_dir(abandoned.join("busy")).unwrap();
    assert!(remove_abandoned(None));
    assert!(!abandoned.exists());
}

fn has_cgroup() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}
