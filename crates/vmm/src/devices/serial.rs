//! The 16550A serial console: output only.

use std::os::fd::RawFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vm_superio::Serial as Uart;
use vm_superio::serial::{Error, NoEvents, SerialState as UartState};

use super::console::Console;
use super::interrupt::{Interrupts, SlotInterrupt};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::Slot;

/// State of the serial console in a snapshot: its registers, and what loopback mode left in the receive FIFO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    /// Divisor latch, low byte.
    pub baud_divisor_low: u8,
    /// Divisor latch, high byte.
    pub baud_divisor_high: u8,
    /// Interrupt enable register.
    pub interrupt_enable: u8,
    /// Interrupt identification register.
    pub interrupt_identification: u8,
    /// Line control register.
    pub line_control: u8,
    /// Line status register.
    pub line_status: u8,
    /// Modem control register.
    pub modem_control: u8,
    /// Modem status register.
    pub modem_status: u8,
    /// Scratch register.
    pub scratch: u8,
    /// Receive FIFO, at most 64 bytes.
    pub receive_fifo: Vec<u8>,
}

impl From<UartState> for SerialState {
    fn from(state: UartState) -> Self {
        Self {
            baud_divisor_low: state.baud_divisor_low,
            baud_divisor_high: state.baud_divisor_high,
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            line_status: state.line_status,
            modem_control: state.modem_control,
            modem_status: state.modem_status,
            scratch: state.scratch,
            receive_fifo: state.in_buffer,
        }
    }
}

impl From<&SerialState> for UartState {
    fn from(state: &SerialState) -> Self {
        Self {
            baud_divisor_low: state.baud_divisor_low,
            baud_divisor_high: state.baud_divisor_high,
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            line_status: state.line_status,
            modem_control: state.modem_control,
            modem_status: state.modem_status,
            scratch: state.scratch,
            in_buffer: state.receive_fifo.clone(),
        }
    }
}

impl Default for SerialState {
    fn default() -> Self {
        UartState::default().into()
    }
}

pub(super) struct Serial(Uart<SlotInterrupt, NoEvents, Console>);

impl Serial {
    /// With the state of a VM that boots, or of a snapshot. Raises no interrupt.
    pub(super) fn new(state: &SerialState, interrupts: &Arc<Interrupts>, console: Console) -> Result<Self> {
        let interrupt = SlotInterrupt::disarmed(interrupts, Slot::Serial);
        let uart = Uart::from_state(&state.into(), interrupt, NoEvents, console)
            .map_err(VmmError::wrap(ErrorCode::SnapshotCorrupt, "restoring the serial console"))?;
        uart.interrupt_evt().arm();
        Ok(Self(uart))
    }

    pub(super) fn state(&self) -> SerialState {
        self.0.state().into()
    }

    /// Registers are bytes: other widths read as zero.
    pub(super) fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            *byte = self.0.read(offset);
        }
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let (Ok(offset), [byte]) = (u8::try_from(offset), data) else {
            return Ok(());
        };
        match self.0.write(offset, *byte) {
            Err(Error::Trigger(error)) => Err(error),
            // The console never fails and a full FIFO is what a real device would have, too.
            Err(Error::IOError(_) | Error::FullFifo) | Ok(()) => Ok(()),
        }
    }

    /// Passes on the part of a line that the console still holds.
    pub(super) fn flush(&mut self) {
        self.0.writer_mut().pass_on();
    }

    /// The descriptor that the console's output goes to.
    pub(super) fn console_fd(&self) -> Option<RawFd> {
        self.0.writer().fd()
    }

    /// It takes bytes again.
    pub(super) fn on_console_writable(&mut self) {
        self.0.writer_mut().on_writable();
    }

    /// Bytes of output that were lost.
    pub(super) fn dropped(&self) -> u64 {
        self.0.writer().dropped()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::devices::testing::RecordedInterrupts;

    const DATA: u64 = 0;
    const INTERRUPT_ENABLE: u64 = 1;
    const LINE_STATUS: u64 = 5;

    fn serial(console: Console) -> (Serial, Arc<RecordedInterrupts>) {
        let recorded = Arc::new(RecordedInterrupts::default());
        let interrupts = Interrupts::new(recorded.clone());
        (Serial::new(&SerialState::default(), &interrupts, console).unwrap(), recorded)
    }

    #[test]
    fn passes_lines_on_to_the_console() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (mut serial, _) = serial(Console::new(Some(OwnedFd::from(theirs).into())).unwrap());
        for byte in b"hello\n" {
            serial.write(DATA, &[*byte]).unwrap();
        }
        let mut line = [0; 6];
        ours.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"hello\n");
        let mut status = [0];
        serial.read(LINE_STATUS, &mut status);
        assert_eq!(status[0] & 0x60, 0x60, "ready for more");
    }

    #[test]
    fn a_restore_keeps_the_registers_and_raises_nothing() {
        let (mut serial, recorded) = serial(Console::new(None).unwrap());
        serial.write(INTERRUPT_ENABLE, &[2]).unwrap();
        assert_eq!(recorded.taken(), [Slot::Serial.spi()]);
        let state = serial.state();

        let interrupts = Interrupts::new(recorded.clone());
        let mut restored = Serial::new(&state, &interrupts, Console::new(None).unwrap()).unwrap();
        assert!(recorded.taken().is_empty());
        assert_eq!(restored.state(), state);
        let mut identification = [0];
        restored.read(2, &mut identification);
        restored.write(DATA, b"x").unwrap();
        assert_eq!(recorded.taken(), [Slot::Serial.spi()]);
    }

    #[test]
    fn a_state_with_too_long_a_fifo_is_refused() {
        let state = SerialState { receive_fifo: vec![0; 65], ..Default::default() };
        let interrupts = Interrupts::new(Arc::new(RecordedInterrupts::default()));
        let error = Serial::new(&state, &interrupts, Console::new(None).unwrap()).err().unwrap();
        assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    }

    #[test]
    fn wide_accesses_are_ignored() {
        let (mut serial, _) = serial(Console::new(None).unwrap());
        serial.write(DATA, &[1, 2, 3, 4]).unwrap();
        let mut data = [0xff; 4];
        serial.read(LINE_STATUS, &mut data);
        assert_eq!(data, [0; 4]);
        serial.read(0xffff, &mut data[..1]);
    }
}
