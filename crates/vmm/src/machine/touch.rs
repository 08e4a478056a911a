//! Giving a VM the memory that its guest is known to use before there is a guest.
//!
//! Each page that a guest touches for the first time costs an exit into KVM, which enters the page into the VM's translation tables
//! (stage 2). arm64 has no call that enters pages ahead of time, so a vCPU touches them: it runs a program of eleven instructions, with
//! address translation off, from memory of its own that is taken away afterwards.
//!
//! - It does not read a page that is only read but branches to it in the illegal execution state: the instruction is fetched, which
//!   enters the page as executable, and before any instruction is carried out the CPU takes an exception (Arm ARM, D1.3.5),
//!   whose handler goes on to the next page.
//! - A page that is going to be written has been made private, and is read: KVM enters what this process may write as writable (Linux,
//!   `hva_to_pfn`). Not as executable: a layer may yet be copied into it, and what the CPU has fetched of it would be stale.

use std::sync::Mutex;
use std::time::Duration;

use kvm_ioctls::VcpuExit;
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

use super::lock;
use super::vcpu_thread::Crew;
use crate::error::{ErrorCode, Result, VmmError};
use crate::kvm::{Vcpu, Vm};
use crate::layer::RangeSet;
use crate::layout::{MEMORY_BASE, TOUCH_DONE, TOUCH_PROGRAM, TOUCH_PROGRAM_MAX};

/// How long a vCPU may go on touching. What it has not reached by then costs the guest an exit each, as it did before.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the list of addresses starts, in bytes from [`TOUCH_PROGRAM`]: a multiple of every host's page size.
const LIST_OFFSET: usize = 64 << 10;
/// The handler of a synchronous exception that is taken to the level it comes from, in bytes from the vector base.
const HANDLER_OFFSET: usize = 0x200;
/// In an entry of the list: the page is read. Else it is branched to.
const READ: u64 = 1;
/// X0 is the next entry of the list and X1 its end, X3 the processor state to branch with, X4 [`TOUCH_DONE`].
const HANDLER: [u32; 11] = [
    0xeb01_001f, // next: cmp x0, x1
    0x5400_0100, // b.eq done
    0xf840_8402, // ldr x2, [x0], #8
    0x3700_0082, // tbnz w2, #0, read
    0xd518_4022, // msr elr_el1, x2
    0xd518_4003, // msr spsr_el1, x3
    0xd69f_03e0, // eret
    0x3940_0045, // read: ldrb w5, [x2]
    0x17ff_fff8, // b next
    0xf900_0080, // done: str x0, [x4]
    0x1400_0000, // b .
];

/// Pages of guest memory that are to be touched, whole pages of the host.
pub(super) struct Pages {
    /// What the guest only reads, or runs.
    pub(super) read: RangeSet,
    /// What it writes, and is private to this process.
    pub(super) written: RangeSet,
}

/// Lets the first vCPU, on its thread, touch these pages; returns how many it touched. It must be switched on and idle; its registers
/// are to be written anew.
///
/// # Errors
/// FIRN_KVM if KVM refuses the program's memory or a page, FIRN_MEMORY if the host has no memory for the program.
pub(super) fn touch(vm: &Vm, crew: &Crew, first: &Mutex<Vcpu>, pages: &Pages, page_size: u64) -> Result<u64> {
    let Program { memory, end } = Program::new(pages, page_size)?;
    let (entry, list) = (TOUCH_PROGRAM + HANDLER_OFFSET as u64, TOUCH_PROGRAM + LIST_OFFSET as u64);
    lock(first)?.set_touch_registers(TOUCH_PROGRAM, entry, [list, end, TOUCH_DONE])?;
    // SAFETY: `memory` lives until it is taken away again, and the vCPU has stopped by then.
    unsafe { vm.add_program(TOUCH_PROGRAM, memory.as_ptr(), memory.size()) }?;
    let outcome = crew.perform(LIMIT, run);
    let removed = vm.remove_program(TOUCH_PROGRAM);
    outcome?;
    removed?;
    Ok(lock(first)?.touched()?.saturating_sub(list) / 8)
}

struct Program {
    memory: MmapRegion<()>,
    /// The guest's address after the list.
    end: u64,
}

impl Program {
    fn new(pages: &Pages, page_size: u64) -> Result<Self> {
        let entries = |set: &RangeSet, mark: u64| {
            let ranges = set.ranges().to_vec().into_iter();
            ranges
                .flat_map(move |range| {
                    (range.start - range.start % page_size..range.end).step_by(usize_of(page_size))
                })
                .map(move |page| MEMORY_BASE.saturating_add(page) | mark)
        };
        let list: Vec<u8> = entries(&pages.written, READ)
            .chain(entries(&pages.read, 0))
            .take((TOUCH_PROGRAM_MAX - LIST_OFFSET) / 8)
            .flat_map(u64::to_le_bytes)
            .collect();
        let size = LIST_OFFSET + list.len().next_multiple_of(LIST_OFFSET);
        let no_memory = |error: &dyn std::fmt::Display| {
            VmmError::new(ErrorCode::Memory, format!("{size} bytes for a list of pages to touch: {error}"))
        };
        let memory = MmapRegion::new(size).map_err(|error| no_memory(&error))?;
        let bytes = memory.get_slice(0, size).map_err(|error| no_memory(&error))?;
        let handler: Vec<u8> = HANDLER.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.write_slice(&handler, HANDLER_OFFSET).map_err(|error| no_memory(&error))?;
        bytes.write_slice(&list, LIST_OFFSET).map_err(|error| no_memory(&error))?;
        let end = TOUCH_PROGRAM + (LIST_OFFSET + list.len()) as u64;
        Ok(Self { memory, end })
    }
}

fn run(vcpu: &mut Vcpu) -> Result<()> {
    loop {
        match vcpu.run() {
            Err(error) if error.errno() == libc::EAGAIN => {}
            // Its time is up, or the process is to end.
            Err(error) if error.errno() == libc::EINTR => break,
            Err(error) => return Err(VmmError::wrap(ErrorCode::Kvm, "touch guest memory")(error)),
            Ok(VcpuExit::MmioWrite(TOUCH_DONE, _)) => break,
            Ok(other) => {
                return Err(VmmError::new(
                    ErrorCode::Kvm,
                    format!("touching guest memory caused the exit {other:?}"),
                ));
            }
        }
    }
    vcpu.complete_exit()
}

fn usize_of(page_size: u64) -> usize {
    usize::try_from(page_size).unwrap_or(usize::MAX)
}
