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

use std::ops::Range;
use std::time::Duration;

use kvm_bindings::KVM_MP_STATE_RUNNABLE;
use kvm_ioctls::VcpuExit;
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

use crate::error::{ErrorCode, Result, VmmError};
use crate::kvm::registers::{
    PC, PSTATE, PSTATE_BOOT, PSTATE_ILLEGAL, SCTLR_EL1, SCTLR_OFF, VBAR_EL1, X0, general,
};
use crate::kvm::{Vcpu, Vm};
use crate::layer::RangeSet;
use crate::layout::{MEMORY_BASE, PRETOUCH_DONE, PRETOUCH_PROGRAM, PRETOUCH_PROGRAM_MAX};
use crate::memory::MemoryStack;
use crate::memory::mapping::{Advice, BLOCK_LENGTH};
use crate::snapshot::VcpuState;
use crate::working_set::WorkingSet;

/// How long a vCPU may go on touching. What it has not reached by then costs the guest an exit each.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Most memory that becomes private before it is known what is restored, bytes: a process that waits should not take more.
const WRITTEN_MAX: u64 = 16 << 20;

/// Where the list of addresses starts, in bytes from [`PRETOUCH_PROGRAM`]: a multiple of every host's page size.
const LIST_OFFSET: usize = 64 << 10;
/// Where the list of addresses starts in guest memory.
const LIST: u64 = PRETOUCH_PROGRAM + LIST_OFFSET as u64;
/// The handler of a synchronous exception that is taken to the level it comes from, in bytes from the vector base.
const HANDLER_OFFSET: usize = 0x200;
/// In an entry of the list: the page is read. Else it is branched to.
const READ: u64 = 1;
/// X0 is the next entry of the list and X1 its end, X3 the processor state to branch with, X4 [`PRETOUCH_DONE`].
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

/// Pages of guest memory that are to be touched.
pub(super) struct Pages {
    /// What the guest only reads, or runs.
    read: RangeSet,
    /// What it writes, and is private to this process.
    written: RangeSet,
}

impl Pages {
    /// What any of the clones of these working sets' snapshots only reads, and what all of them write; nothing if there are none.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if a working set is of another size of memory.
    pub(super) fn of(working_sets: &[WorkingSet], memory_size: u64) -> Result<Option<Self>> {
        let Some(first) = working_sets.first() else { return Ok(None) };
        let (mut read, mut written) = (RangeSet::default(), first.written.clone());
        for set in working_sets {
            set.check_size(memory_size)?;
            read = read.union(set.read.ranges().iter().cloned());
            written = written.intersection(&set.written);
        }
        let written = written.first(WRITTEN_MAX);
        Ok(Some(Self { read: read.without(&written), written }))
    }

    /// Makes private what is going to be written, and sees to it that what is touched stays in the VM's translation tables: that no mapping
    /// has a whole aligned block of 2 MiB. When the kernel cuts a mapping that does, it has KVM forget the whole block, as if it were
    /// mapped as one (Linux, `vma_adjust_trans_huge`): what a VM was given would be lost where layers are laid on top. The process does not
    /// fork, so what children would get is a difference that costs nothing. Best done before there is a VM, whose KVM is told of all this.
    ///
    /// # Errors
    /// FIRN_MEMORY if the process has too many mappings, or the host no memory.
    pub(super) fn make_present(&self, memory: &mut MemoryStack) -> Result<()> {
        let starts = (BLOCK_LENGTH / 2..memory.size()).step_by(usize_of(2 * BLOCK_LENGTH));
        for start in starts {
            let length = BLOCK_LENGTH.min(memory.size() - start);
            let advised = memory.reservation().advise(start, length, Advice::DoFork);
            advised.map_err(VmmError::wrap(ErrorCode::Memory, "cutting mappings of guest memory"))?;
        }
        memory.populate_written(&self.written)
    }

    /// Has the first vCPU of a VM that has its memory touch the pages when it does [`run`]. Its registers are to be written anew behind
    /// [`finish`]. Returns whether it can: a vCPU that is switched off runs nothing.
    ///
    /// # Errors
    /// FIRN_KVM if KVM refuses the program's memory, FIRN_MEMORY if the host has no memory for the program.
    pub(super) fn begin(&self, vm: &Vm, first: &Vcpu, saved: &VcpuState, page_size: u64) -> Result<bool> {
        if saved.power_state != KVM_MP_STATE_RUNNABLE {
            return Ok(false);
        }
        let list: Vec<u8> = entries(&self.written, page_size, READ)
            .chain(entries(&self.read, page_size, 0))
            .take((PRETOUCH_PROGRAM_MAX - LIST_OFFSET) / 8)
            .flat_map(u64::to_le_bytes)
            .collect();
        for (id, value) in [
            (SCTLR_EL1, SCTLR_OFF),
            (VBAR_EL1, PRETOUCH_PROGRAM),
            (PSTATE, PSTATE_BOOT),
            (PC, PRETOUCH_PROGRAM + HANDLER_OFFSET as u64),
            (X0, LIST),
            (general(1), LIST + list.len() as u64),
            (general(3), PSTATE_BOOT | PSTATE_ILLEGAL),
            (general(4), PRETOUCH_DONE),
        ] {
            first.write(id, value)?;
        }
        vm.add_program(PRETOUCH_PROGRAM, program(&list)?)?;
        Ok(true)
    }
}

/// Takes the program away from a vCPU that has stopped. Returns how many pages it has touched.
///
/// # Errors
/// FIRN_KVM if KVM refuses.
pub(super) fn finish(vm: &Vm, first: &Vcpu) -> Result<u64> {
    vm.remove_program(PRETOUCH_PROGRAM)?;
    Ok(first.read(X0)?.saturating_sub(LIST) / 8)
}

/// Touches the pages, on the thread of the first vCPU.
///
/// # Errors
/// FIRN_KVM if KVM refuses a page.
pub(super) fn run(vcpu: &mut Vcpu) -> Result<()> {
    loop {
        match vcpu.run() {
            Err(error) if error.errno() == libc::EAGAIN => {}
            // Its time is up, or the process is to end.
            Err(error) if error.errno() == libc::EINTR => break,
            Err(error) => return Err(VmmError::wrap(ErrorCode::Kvm, "touch guest memory")(error)),
            Ok(VcpuExit::MmioWrite(PRETOUCH_DONE, _)) => break,
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

/// The addresses of the pages that hold these ranges, with a mark.
fn entries(set: &RangeSet, page_size: u64, mark: u64) -> impl Iterator<Item = u64> {
    let first = move |range: &Range<u64>| range.start - range.start % page_size;
    let pages =
        set.ranges().iter().flat_map(move |range| (first(range)..range.end).step_by(usize_of(page_size)));
    pages.map(move |page| MEMORY_BASE.saturating_add(page) | mark)
}

/// Memory with the program and its list.
fn program(list: &[u8]) -> Result<MmapRegion<()>> {
    let size = LIST_OFFSET + list.len().next_multiple_of(LIST_OFFSET);
    let no_memory = |error: &dyn std::fmt::Display| {
        VmmError::new(ErrorCode::Memory, format!("{size} bytes for a list of pages to touch: {error}"))
    };
    let memory = MmapRegion::new(size).map_err(|error| no_memory(&error))?;
    let bytes = memory.get_slice(0, size).map_err(|error| no_memory(&error))?;
    let handler: Vec<u8> = HANDLER.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.write_slice(&handler, HANDLER_OFFSET).map_err(|error| no_memory(&error))?;
    bytes.write_slice(list, LIST_OFFSET).map_err(|error| no_memory(&error))?;
    Ok(memory)
}

fn usize_of(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
