//! `firn-agent`: the init process of a Firn guest.

fn main() {
    firn_guest_agent::run_as_init();
}
