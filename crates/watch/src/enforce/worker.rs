//! The enforcer's thread.

use super::enforcer::{Options, Order, Orders};
use super::{Failure, Report};

pub(super) fn run(orders: &Orders, _options: &Options, mut report: impl FnMut(Report)) {
    loop {
        let _ = rustix::io::read(&orders.bell, &mut [0_u8; 8]);
        let queue = std::mem::take(&mut *orders.queue.lock());
        for order in queue {
            match order {
                Order::Ban(element, _) | Order::Unban(element) => {
                    let failure =
                        Failure::Connection { kind: element.set.kind(), reason: "not made yet".into() };
                    report(Report::Failed { element, failure });
                }
                Order::Settle(done) => drop(done.send(())),
                Order::End => return,
                Order::Restore(..) | Order::Forget(_) | Order::Compare => {}
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
