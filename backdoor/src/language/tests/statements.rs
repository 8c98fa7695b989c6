//! What a session remembers, and what is built in.

use super::*;

#[test]
fn variables_functions_and_the_last_result_stay() {
    let mut bench = Bench::new();
    assert_eq!(bench.value("let x = 20; x + 1"), json!(21));
    assert_eq!(bench.value("_ * 2"), json!(42));
    assert_eq!(bench.value("fn half(n) { n / 2 }"), Value::Null);
    assert_eq!(bench.value("half(_) + x"), json!(41));
    assert_eq!(bench.value("let s = `_ is ${_}`; s"), json!("_ is 41"));
    assert_eq!(bench.value("print(\"a _ b\")"), Value::Null);
    assert_eq!(bench.value("_"), json!("_ is 41"), "nothing is no result");
    assert_eq!(bench.printed.lock().unwrap().as_slice(), ["a _ b"]);
}

#[test]
fn the_default_of_a_switch_is_still_the_default() {
    let mut bench = Bench::new();
    assert_eq!(bench.value("7"), json!(7));
    assert_eq!(bench.value("switch 3 { 1 => 2, _ => _ + 1 }"), json!(8));
    assert_eq!(
        bench.value("switch 3 {\n 1 => 2,\n _\n =>\n \"ü\" }"),
        json!("ü")
    );
}

#[test]
fn help_lists_everything_and_explains_one_name() {
    let mut bench = Bench::new();
    let list = bench.value("help()");
    let calls: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["call"].as_str().unwrap())
        .collect();
    assert!(
        calls.starts_with(&["players()", "speed(number)"]),
        "{calls:?}"
    );
    for built_in in ["ps()", "where(id)", "kill(id)", "workers()", "stats()"] {
        assert!(calls.contains(&built_in), "{built_in} in {calls:?}");
    }
    assert_eq!(
        bench.value("help(\"speed\")"),
        json!("speed(number): steps a second")
    );
}

#[test]
fn tables_can_be_narrowed_and_written_out() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.value("json([players()[0], age()])"),
        json!("[\n  {\n    \"name\": \"ann\",\n    \"score\": 3\n  },\n  2.5\n]")
    );
    for (options, wanted) in [
        (
            "#{nam: \"x\"}",
            "ps has no option `nam`: there are name, state, waits_for, worker, longer, sort, reverse and limit",
        ),
        ("#{sort: \"size\"}", "ps: sort: one of the columns id, name"),
        ("#{limit: -1}", "ps: limit: a number wanted"),
        ("#{longer: \"x\"}", "ps: longer: a number of seconds wanted"),
        ("#{reverse: 1}", "ps: reverse: true or false wanted"),
        ("#{name: 5}", "ps: name: text wanted"),
    ] {
        let complaint = bench.complaint(&format!("ps({options})"));
        assert!(complaint.message.starts_with(wanted), "{complaint:?}");
    }
    bench.value("ps(#{limit: 0})");
    let costs = bench.value("cost()");
    let row = costs
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["view"] == "ps()");
    assert_eq!(row.unwrap()["calls"], json!(7), "{costs}");
}

#[test]
fn a_watch_prints_what_changes_until_it_is_interrupted() {
    grapeshot::testing::run(1, || {
        let stack = grapeshot::Builder::new().stack_size(limits::STACK_SIZE);
        stack.spawn(watches).join().unwrap();
    });
}

fn watches() {
    let mut bench = Bench::limited(Duration::from_millis(300));
    let pace = Arc::clone(&bench.interpreter.pace);
    let turns = Arc::new(AtomicI64::new(0));
    let next = move || {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        if turn == 6 {
            pace.interrupt();
        }
        turn / 2
    };
    bench.interpreter.engine.register_fn("next", next);
    let start = grapeshot::time::now();
    let complaint = bench.complaint("watch(\"next()\", 1)");
    assert_eq!(complaint.message, "interrupted");
    assert_eq!(*bench.printed.lock().unwrap(), ["0", "1", "2", "3"]);
    // That is far more than the limit of an evaluation.
    assert_eq!(grapeshot::time::now() - start, Duration::from_secs(6));
    bench.printed.lock().unwrap().clear();
    let counts = "let n = 0; watch(|| { n += 1; if n == 3 { throw \"enough\" } n }, 0.1)";
    assert_eq!(bench.complaint(counts).message, "enough");
    assert_eq!(*bench.printed.lock().unwrap(), ["1", "2"]);
    let too_often = bench.complaint("watch(\"1\", 0)");
    assert!(
        too_often.message.starts_with("watch: every 0.1 to"),
        "{too_often:?}"
    );
    assert!(
        bench
            .complaint("watch(\"let x = 1\", 1)")
            .message
            .contains("'let'")
    );
}

#[test]
fn latency_is_told_of_each_worker_and_of_all() {
    let mut bench = Bench::new();
    let workers = bench.value("workers().len()").as_u64().unwrap() as usize;
    let rows = bench.value("latency()");
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2 * workers + 2);
    let of: Vec<_> = rows
        .iter()
        .map(|row| (&row["worker"], &row["what"]))
        .collect();
    assert_eq!(of[0], (&json!(0), &json!("queued")));
    assert_eq!(of[1], (&json!(0), &json!("unseen")));
    assert_eq!(of[2 * workers + 1], (&Value::Null, &json!("unseen")));
}
