//! Tests: commands that overtake each other, get lost, or end nobody knows how.
use crate::Answer;
use crate::bench::{Bench, DONE, FAILED, NOT_SENT, UNKNOWN, approved, ask, call, end, refused};

const STEP: &str =
    r#"{"tools":[{"tool":"move","arguments":[{"pointer":"/to","max_step":10,"initial":0}]}]}"#;

fn to(value: f64) -> String {
    format!(r#"{{"to":{value}}}"#)
}

struct Arm<'b>(&'b Bench, &'b str);

impl Arm<'_> {
    fn go(&self, value: f64) -> Answer {
        ask(self.0, self.1, "move", &to(value))
    }
    #[track_caller]
    fn goes(&self, value: f64) {
        assert_eq!(self.go(value), Answer::Pass);
    }
    fn ended(&self, value: f64, outcome: &str) {
        end(self.0, self.1, "move", &to(value), outcome);
    }
    #[track_caller]
    fn not(&self, value: f64, because: &str) {
        refused(self.go(value), because);
    }
    /// Where it may be, as seen from what it refuses.
    #[track_caller]
    fn is_within(&self, lo: f64, hi: f64) {
        self.not(lo + 10.5, &format!("from {lo} to"));
        self.not(hi - 10.5, &format!("from {hi} to"));
        for value in [lo + 10.0, hi - 10.0] {
            self.goes(value);
            self.ended(value, NOT_SENT);
        }
    }
}

#[test]
fn what_is_under_way_may_arrive_or_not() {
    let bench = Bench::default();
    let arm = Arm(&bench, STEP);
    arm.goes(10.0);
    arm.not(11.0, "from 0 to 11");
    arm.not(-1.0, "from 10 to -1");
    arm.goes(5.0);
    arm.ended(10.0, DONE);
    arm.not(11.0, "from 0 to 11");
    arm.ended(5.0, DONE);
    // Which of the two came last, nobody knows.
    arm.is_within(0.0, 10.0);
    arm.goes(7.0);
    arm.ended(7.0, DONE);
    arm.is_within(7.0, 7.0);
}

#[test]
fn what_ends_alone_tells_where_it_is() {
    for (outcome, lo, hi) in [
        (DONE, 8.0, 8.0),
        (
            r#"{"content":[],"isError":false,"_meta":{"x":1}}"#,
            8.0,
            8.0,
        ),
        (FAILED, 3.0, 8.0),
        (r#"{"content":[],"isError":"no"}"#, 3.0, 8.0),
        (UNKNOWN, 3.0, 8.0),
        (r#"{"_meta":{"dev.tidegate/end":"?"}}"#, 3.0, 8.0),
        ("{", 3.0, 8.0),
        (NOT_SENT, 3.0, 3.0),
    ] {
        let bench = Bench::default();
        let arm = Arm(&bench, STEP);
        assert_eq!(call(&bench, STEP, "move", &to(3.0)), Answer::Pass);
        arm.goes(8.0);
        arm.ended(8.0, outcome);
        arm.is_within(lo, hi);
        // An end too many is of something forgotten.
        arm.ended(8.0, DONE);
        arm.is_within(lo, hi);
    }
}

#[test]
fn a_call_judged_again_is_held_against_what_was_before_it() {
    let rate = r#"{"tools":[{"tool":"move","arguments":[{"pointer":"/to","max_step":10,"max_rate":1,"initial":0}]}]}"#;
    let bench = Bench::default();
    let arm = Arm(&bench, rate);
    assert_eq!(call(&bench, rate, "move", &to(0.0)), Answer::Pass);
    bench.later(10_000);
    for _ in 0..3 {
        arm.goes(10.0);
        bench.later(1);
        arm.ended(10.0, NOT_SENT);
    }
    arm.goes(10.0);
    bench.later(5_000);
    arm.ended(10.0, DONE);
    bench.later(5_000);
    // Perhaps it only got it when it said so.
    arm.not(16.0, "within 5 s");
    arm.goes(15.0);
    bench.later(1_000);
    arm.ended(15.0, UNKNOWN);
    bench.later(4_000);
    arm.not(14.5, "from 10 to 14.5 within 4 s");
    arm.goes(14.0);
}

#[test]
fn a_first_value_that_was_not_sent_was_none() {
    let free = r#"{"tools":[{"tool":"move","arguments":[{"pointer":"/to","max_step":10}]}]}"#;
    let bench = Bench::default();
    let arm = Arm(&bench, free);
    arm.goes(100.0);
    arm.not(111.0, "from 100 to 111");
    arm.ended(100.0, NOT_SENT);
    arm.goes(-100.0);
    arm.ended(-100.0, UNKNOWN);
    arm.is_within(-100.0, -100.0);
}

#[test]
fn a_gateway_started_anew_forgets_what_was_under_way_but_not_where_it_may_be() {
    for (ms, wall, forgets) in [
        (500, 50_000, true),
        (10_000 + 121_000, 900_000, true),
        (10_000 + 119_000, 900_000, false),
        // It runs still, and will tell.
        (10_000 + 121_000, 10_000 + 121_000, false),
        (10_000 + 901_000, 10_000 + 901_000, true),
    ] {
        let bench = Bench::default();
        let arm = Arm(&bench, STEP);
        bench.later(10_000);
        arm.goes(10.0);
        arm.goes(4.0);
        bench.ms.set(ms);
        bench.wall.set(wall);
        arm.not(11.0, "from 0 to 11");
        arm.goes(8.0);
        arm.ended(8.0, DONE);
        if forgets {
            arm.is_within(8.0, 8.0);
        } else {
            arm.not(11.0, "from 0 to 11");
        }
    }
}

#[test]
fn an_end_of_something_forgotten_is_not_taken_for_that_of_another() {
    let bench = Bench::default();
    let arm = Arm(&bench, STEP);
    arm.goes(10.0);
    bench.later(901_000);
    arm.goes(6.0);
    arm.ended(10.0, DONE);
    arm.not(11.0, "from 0 to 11");
    arm.ended(6.0, DONE);
    arm.is_within(6.0, 6.0);
}

#[test]
fn several_values_of_a_call_count_together_or_not_at_all() {
    let settings = r#"{"tools":[
        {"tool":"m*","arguments":[{"pointer":"/j/*","max_step":10,"initial":0,"history":"j"}]},
        {"tool":"move","arguments":[{"pointer":"/j/*","max_step":20,"initial":0,"history":"j"}]}]}"#;
    let bench = Bench::default();
    refused(ask(&bench, settings, "move", r#"{"j":[5,11]}"#), "`/j/1`");
    assert!(bench.kept.borrow().is_empty());
    assert_eq!(
        ask(&bench, settings, "move", r#"{"j":[5,-5]}"#),
        Answer::Pass
    );
    refused(
        ask(&bench, settings, "move", r#"{"j":[5,6]}"#),
        "from -5 to 6",
    );
    // Two rules of one value: it is under way once.
    end(&bench, settings, "move", r#"{"j":[5,-5]}"#, DONE);
    refused(
        ask(&bench, settings, "move", r#"{"j":[-6,0]}"#),
        "from 5 to -6",
    );
    assert_eq!(
        call(&bench, settings, "move", r#"{"j":[15,-15]}"#),
        Answer::Pass
    );
    assert_eq!(
        call(&bench, settings, "move", r#"{"j":[25,-25]}"#),
        Answer::Pass
    );
}

#[test]
fn what_is_asked_about_is_not_under_way_and_what_was_approved_is() {
    let settings = r#"{"tools":[{"tool":"move","approval":"always","arguments":[{"pointer":"/to","max_step":10,"initial":0}]}]}"#;
    let bench = Bench::default();
    assert!(matches!(
        ask(&bench, settings, "move", &to(9.0)),
        Answer::Ask(_)
    ));
    assert!(bench.kept.borrow().is_empty());
    assert_eq!(approved(&bench, settings, "move", &to(9.0)), Answer::Pass);
    assert!(matches!(
        ask(&bench, settings, "move", &to(19.0)),
        Answer::Ask(_)
    ));
}

#[test]
fn what_cannot_be_noted_stays_under_way() {
    let bench = Bench::default();
    let arm = Arm(&bench, STEP);
    arm.goes(10.0);
    end(&bench, "{", "move", &to(10.0), DONE);
    end(&bench, STEP, "other", &to(10.0), DONE);
    end(&bench, STEP, "move", r#"{"to":"10"}"#, DONE);
    arm.not(11.0, "from 0 to 11");
    arm.ended(10.0, DONE);
    arm.is_within(10.0, 10.0);
}

// -- a stop, and the dead man's switch --------------------------------------------------------------------------------

const DRIVE: &str = r#"{"tools":[{"tool":"move","arguments":[{"pointer":"/to","max_step":10,"initial":0,"at_stop":0}],
    "dead_man":{"renew_ms":500,"stop":"halt","rearm":"rearm"}}]}"#;

fn armed(bench: &Bench) -> Vec<String> {
    std::mem::take(&mut bench.armed.borrow_mut())
}

#[test]
fn a_stop_is_believed_once_it_is_done() {
    let bench = Bench::default();
    let arm = Arm(&bench, DRIVE);
    for value in [10.0, 20.0] {
        assert_eq!(call(&bench, DRIVE, "move", &to(value)), Answer::Pass);
    }
    assert_eq!(ask(&bench, DRIVE, "halt", "{}"), Answer::Pass);
    arm.not(20.0, "anything from 0 to 20");
    end(&bench, DRIVE, "halt", "{}", NOT_SENT);
    arm.not(9.0, "from 20 to 9");
    // Beside a command, either may come last.
    arm.goes(30.0);
    assert_eq!(ask(&bench, DRIVE, "halt", "{}"), Answer::Pass);
    end(&bench, DRIVE, "halt", "{}", DONE);
    arm.ended(30.0, DONE);
    arm.not(5.0, "anything from 0 to 30");
    assert_eq!(call(&bench, DRIVE, "halt", "{}"), Answer::Pass);
    arm.not(11.0, "from 0 to 11");
    arm.goes(10.0);
}

#[test]
fn a_command_that_was_not_sent_renews_nothing() {
    for (outcome, last) in [(NOT_SENT, 0), (UNKNOWN, 0), (FAILED, 400), (DONE, 400)] {
        let bench = Bench::default();
        bench.later(1000);
        let arm = Arm(&bench, DRIVE);
        assert_eq!(call(&bench, DRIVE, "move", &to(1.0)), Answer::Pass);
        bench.later(400);
        arm.goes(2.0);
        assert_eq!(armed(&bench).last().unwrap(), "switch:halt 500 halt {}");
        bench.later(30);
        arm.ended(2.0, outcome);
        if last == 0 {
            assert_eq!(armed(&bench), ["switch:halt 70 halt {}"]);
            bench.later(70);
            arm.not(2.0, "call `rearm`");
        } else {
            assert!(armed(&bench).is_empty());
            bench.later(70);
            arm.goes(2.0);
        }
    }
}

#[test]
fn a_renewal_that_ends_too_late_trips_at_once() {
    let bench = Bench::default();
    let arm = Arm(&bench, DRIVE);
    assert_eq!(call(&bench, DRIVE, "move", &to(1.0)), Answer::Pass);
    bench.later(400);
    arm.goes(2.0);
    bench.later(450);
    armed(&bench);
    arm.ended(2.0, NOT_SENT);
    assert_eq!(armed(&bench), ["switch:halt 1 halt {}"]);
    arm.not(2.0, "call `rearm`");
}

#[test]
fn what_is_let_through_beside_another_counts_once_one_of_them_has_an_answer() {
    let bench = Bench::default();
    let arm = Arm(&bench, DRIVE);
    arm.goes(1.0);
    for _ in 0..4 {
        bench.later(100);
        arm.goes(2.0);
    }
    assert_eq!(armed(&bench).last().unwrap(), "switch:halt 100 halt {}");
    arm.ended(2.0, DONE);
    assert_eq!(armed(&bench), ["switch:halt 200 halt {}"]);
    arm.ended(2.0, NOT_SENT);
    assert!(armed(&bench).is_empty());
    arm.ended(2.0, DONE);
    assert_eq!(armed(&bench), ["switch:halt 300 halt {}"]);
    bench.later(300);
    arm.not(2.0, "call `rearm`");
    // Ends of what was before the switch was armed again disarm nothing.
    assert_eq!(call(&bench, DRIVE, "halt", "{}"), Answer::Pass);
    assert_eq!(call(&bench, DRIVE, "rearm", "{}"), Answer::Pass);
    armed(&bench);
    arm.ended(1.0, DONE);
    arm.ended(2.0, NOT_SENT);
    assert_eq!(call(&bench, DRIVE, "halt", "{}"), Answer::Pass);
    armed(&bench);
    arm.goes(3.0);
    arm.ended(1.0, NOT_SENT);
    assert_eq!(armed(&bench), ["switch:halt 500 halt {}"]);
    bench.later(500);
    arm.not(3.0, "call `rearm`");
}

#[test]
fn arming_again_what_is_armed_changes_nothing() {
    let bench = Bench::default();
    let arm = Arm(&bench, DRIVE);
    assert_eq!(call(&bench, DRIVE, "move", &to(10.0)), Answer::Pass);
    assert_eq!(call(&bench, DRIVE, "move", &to(20.0)), Answer::Pass);
    armed(&bench);
    assert_eq!(call(&bench, DRIVE, "rearm", "{}"), Answer::Pass);
    assert!(armed(&bench).is_empty());
    arm.not(9.0, "from 20 to 9");
    bench.later(500);
    arm.not(20.0, "call `rearm`");
}

#[test]
fn more_commands_under_way_than_are_remembered_can_only_trip_early() {
    let bench = Bench::default();
    let arm = Arm(&bench, DRIVE);
    for _ in 0..40 {
        arm.goes(1.0);
        bench.later(10);
    }
    for _ in 0..40 {
        arm.ended(1.0, DONE);
    }
    bench.later(410);
    arm.not(1.0, "call `rearm`");
}

// -- brute force --------------------------------------------------------------------------------------------------------

struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
    fn value(&mut self, around: f64) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let off = self.below(29) as f64 - 14.0;
        around.trunc() + off
    }
    fn pick(&mut self, from: &[usize]) -> Option<usize> {
        (!from.is_empty()).then(|| from[usize::try_from(self.below(from.len() as u64)).unwrap()])
    }
}

struct Sent {
    tool: &'static str,
    value: f64,
    /// When it was let through, and whether nothing else was under way then.
    at: usize,
    alone: bool,
    arrived: bool,
    partly: bool,
    /// When its end was told.
    over: Option<usize>,
}

/// A machine, and the way to it, on which everything happens that may.
struct World {
    bench: Bench,
    settings: &'static str,
    step: f64,
    at: f64,
    anywhere: bool,
    sent: Vec<Sent>,
    time: usize,
    stopped: Option<usize>,
    /// That a gateway has run.
    longest_ms: u64,
}

impl World {
    fn arguments(one: &Sent) -> String {
        if one.tool == "move" {
            to(one.value)
        } else {
            "{}".to_string()
        }
    }

    fn ask(&mut self, tool: &'static str, value: f64) -> bool {
        let alone = self.sent.iter().all(|one| one.over.is_some());
        let one = Sent {
            tool,
            value,
            at: self.time,
            alone,
            arrived: false,
            partly: false,
            over: None,
        };
        let passed = ask(&self.bench, self.settings, tool, &World::arguments(&one)) == Answer::Pass;
        if passed {
            self.sent.push(one);
        }
        passed
    }

    fn end(&mut self, place: usize, outcome: &str) {
        let one = &mut self.sent[place];
        one.over = Some(self.time);
        if outcome == NOT_SENT {
            one.arrived = true;
        }
        end(
            &self.bench,
            self.settings,
            one.tool,
            &World::arguments(one),
            outcome,
        );
    }

    fn arrive(&mut self, place: usize, partly: bool) {
        let one = &mut self.sent[place];
        one.arrived = true;
        one.partly = partly && one.tool == "move";
        let (value, at, alone) = (one.value, one.at, one.alone);
        let overtaken = self.stopped.is_some_and(|stopped| at <= stopped);
        if one.tool == "move" && !overtaken && !self.anywhere {
            assert!(
                (value - self.at).abs() <= self.step,
                "{} to {value}",
                self.at
            );
        }
        if one.tool == "halt" {
            // What was let through before it may overtake it; what comes after is held against both.
            self.stopped = self.stopped.max(Some(at));
        }
        self.at = if self.sent[place].partly && !self.anywhere {
            f64::midpoint(self.at, value)
        } else {
            value
        };
        self.anywhere = false;
        if alone {
            // What was given up before this one went out has arrived by now, or never will.
            self.sent
                .iter_mut()
                .filter(|one| one.over.is_some_and(|over| over <= at))
                .for_each(|one| one.arrived = true);
        }
    }

    fn places(&self, which: impl Fn(&Sent) -> bool) -> Vec<usize> {
        (0..self.sent.len())
            .filter(|place| which(&self.sent[*place]))
            .collect()
    }

    fn end_somehow(&mut self, place: usize, dice: &mut Dice) {
        let one = &self.sent[place];
        let outcome = match (one.arrived, one.partly, dice.below(4)) {
            (true, false, 0..=1) => DONE,
            (true, _, 2) | (_, true, 0..=2) => FAILED,
            (false, _, 0..=1) => NOT_SENT,
            _ => UNKNOWN,
        };
        self.end(place, outcome);
    }

    fn restart(&mut self, dice: &mut Dice) {
        for one in &mut self.sent {
            one.over = one.over.or(Some(self.time));
        }
        let bench = &self.bench;
        self.longest_ms = self.longest_ms.max(bench.ms.get());
        bench.wall.set(bench.wall.get() + 60_000);
        bench.ms.set(if dice.below(2) == 0 {
            dice.below(1000)
        } else {
            bench.ms.get() + dice.below(2000)
        });
    }

    fn happens(&mut self, dice: &mut Dice, stops: bool) {
        self.time += 1;
        if stops {
            call(&self.bench, self.settings, "rearm", "{}");
        }
        let under_way = self.places(|one| !one.arrived);
        let open = self.places(|one| one.over.is_none());
        match dice.below(20) {
            0..=6 => {
                let value = dice.value(self.at);
                self.ask("move", value);
            }
            7..=11 => {
                let partly = dice.below(6) == 0;
                if let Some(place) = dice.pick(&under_way) {
                    self.arrive(place, partly);
                }
            }
            12..=16 => {
                if let Some(place) = dice.pick(&open) {
                    self.end_somehow(place, dice);
                }
            }
            17 => {
                // Judged again.
                let waiting =
                    self.places(|one| one.over.is_none() && !one.arrived && one.tool == "move");
                if let Some(place) = dice.pick(&waiting) {
                    let value = self.sent[place].value;
                    self.end(place, NOT_SENT);
                    self.ask("move", value);
                }
            }
            18 if stops => {
                assert!(self.ask("halt", 0.0));
            }
            19 if dice.below(8) == 0 => self.restart(dice),
            _ => self.bench.later(dice.below(30_000)),
        }
    }

    /// All that is under way ends; then one call is done, and the next one may go as far as any.
    fn comes_free(&mut self, dice: &mut Dice, stops: bool) {
        self.time += 1;
        for place in self.places(|one| one.over.is_none()) {
            self.end_somehow(place, dice);
        }
        self.time += 1;
        self.bench.later(121_000 + self.longest_ms);
        let done = if stops {
            self.ask("halt", 0.0)
        } else {
            let there = self.at.trunc();
            (0..=20).any(|off| self.ask("move", there + f64::from(off) - 10.0))
        };
        assert!(done, "nothing goes through any more, at {}", self.at);
        if stops {
            call(&self.bench, self.settings, "rearm", "{}");
        }
        let last = self.sent.len() - 1;
        self.arrive(last, false);
        self.end(last, DONE);
        for off in [-self.step, self.step] {
            self.time += 1;
            assert!(
                self.ask("move", self.at + off),
                "{} {off} {:?}",
                self.at,
                self.bench.kept
            );
            self.end(self.sent.len() - 1, NOT_SENT);
        }
    }
}

fn play(settings: &'static str, stops: bool, anywhere: bool) {
    let (mut went, mut crowds) = (0, 0);
    for seed in 1..=400 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let bench = Bench::default();
        bench.later(dice.below(5000));
        let mut world = World {
            bench,
            settings,
            step: 10.0,
            at: 0.0,
            anywhere,
            sent: Vec::new(),
            time: 0,
            stopped: None,
            longest_ms: 0,
        };
        for _ in 0..3 {
            for _ in 0..dice.below(60) {
                world.happens(&mut dice, stops);
                crowds += usize::from(world.places(|one| one.over.is_none()).len() > 1);
            }
            world.comes_free(&mut dice, stops);
        }
        went += world.sent.len();
    }
    assert!(went > 5000 && crowds > 5000, "{went} {crowds}");
}

#[test]
fn no_order_and_no_loss_makes_a_step_too_far_and_movement_always_comes_free_again() {
    play(STEP, false, false);
}

#[test]
fn nor_does_a_first_value_that_may_be_any() {
    play(
        r#"{"tools":[{"tool":"move","arguments":[{"pointer":"/to","max_step":10}]}]}"#,
        false,
        true,
    );
}

#[test]
fn nor_does_a_stop_for_what_is_let_through_after_it() {
    play(
        r#"{"tools":[{"tool":"move","arguments":[{"pointer":"/to","max_step":10,"initial":0,"at_stop":0}],
            "dead_man":{"renew_ms":2000000000,"stop":"halt","rearm":"rearm"}}]}"#,
        true,
        false,
    );
}

#[test]
fn what_tripped_is_where_it_was_until_a_stop_is_done() {
    let bench = Bench::default();
    bench.later(100);
    let arm = Arm(&bench, DRIVE);
    assert_eq!(call(&bench, DRIVE, "move", &to(10.0)), Answer::Pass);
    assert_eq!(call(&bench, DRIVE, "move", &to(20.0)), Answer::Pass);
    bench.ms.set(0);
    // Started anew, the gateway did not call the stop.
    arm.not(20.0, "call `rearm`");
    assert_eq!(call(&bench, DRIVE, "rearm", "{}"), Answer::Pass);
    arm.not(9.0, "from 20 to 9");
}
