use super::*;

fn check(
    language: &str,
    stack_trace: &str,
    frames: &[(&str, u32, &str)],
) -> Vec<(String, String, usize)> {
    let stack = parse(stack_trace, language);
    let shown: Vec<_> = stack
        .frames
        .iter()
        .map(|frame| (frame.path, frame.line, frame.label))
        .collect();
    assert_eq!(shown, frames, "{language}: {stack_trace}");
    let causes = stack.causes.into_iter();
    let causes = causes.map(|caused| (caused.kind.to_owned(), caused.message, caused.frames.len()));
    causes.collect()
}

fn caused(kind: &str, message: &str, n_frames: usize) -> (String, String, usize) {
    (kind.to_owned(), message.to_owned(), n_frames)
}

#[test]
fn java() {
    let trace = "java.lang.IllegalStateException: state is not legal\n\
        \tat io.opentelemetry.Test.record(Test.java:626)\n\
        \tat java.base/jdk.internal.reflect.Native.invoke0(Native Method)\n\
        \tat nothing\n\
        Caused by: java.lang.IllegalArgumentException: bad argument\n and more: of it\r\n\
        \tat com.example.Shop.buy(Shop.java:12)\n\
        \t... 3 more\n\
        Caused by: java.lang.Error\n\
        \t... 4 more\n";
    let frames = [
        ("Test.java", 626, "io.opentelemetry.Test.record"),
        ("Native Method", 0, "jdk.internal.reflect.Native.invoke0"),
    ];
    let causes = check("java", trace, &frames);
    assert_eq!(
        causes,
        [
            caused(
                "java.lang.IllegalArgumentException",
                "bad argument and more: of it",
                1
            ),
            caused("java.lang.Error", "", 0),
        ]
    );
    assert_eq!(check("php", trace, &frames), causes);
    check("java", "", &[]);
    check("java", "Exception", &[]);
    assert_eq!(check("java", "E\nCaused by: ", &[]), [caused("", "", 0)]);
    assert_eq!(check("java", "E\nCaused by: X:", &[]), [caused("X", "", 0)]);
}

#[test]
fn python() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in first\n    x()\n\
        KeyError: 'card'\nof two lines\n\n\
        During handling of the above exception, another exception occurred:\n\n\
        Traceback (most recent call last):\n  File \"b.py\", line 2, in second\n    y()\n    ^^^\nRuntimeError\n\n\
        The above exception was the direct cause of the following exception:\n\n\
        Traceback (most recent call last):\n  File \"main.py\", line 14, in <module>\n    greet()\n  \
        File \"greet, ings.py\", line 12, in greet\n    print('hi, ' + person)\nTypeError: must be str, not int\n";
    let causes = check(
        "python",
        trace,
        &[("greet, ings.py", 12, "greet"), ("main.py", 14, "<module>")],
    );
    assert_eq!(
        causes,
        [
            caused("RuntimeError", "", 1),
            caused("KeyError", "'card'\nof two lines", 1),
        ]
    );
    let repeated = "Traceback (most recent call last):\n  File \"a.py\", line 1, in dig\n    dig()\n    ~~~^^\n  \
        [Previous line repeated 9 more times]\nRecursionError: too deep\n\n\
        The above exception was the direct cause of the following exception:\n\n\
        Traceback (most recent call last):\n  File \"b.py\", line 2, in main\n    y()\nValueError: x\n";
    let causes = check("python", repeated, &[("b.py", 2, "main")]);
    assert_eq!(causes, [caused("RecursionError", "too deep", 1)]);
    check("python", "", &[]);
    check("python", "ValueError: x\n", &[]);
    let orphan = "During handling of the above exception, another exception occurred:\n\nX";
    assert_eq!(check("python", orphan, &[]), []);
}

#[test]
fn javascript() {
    let trace = "TypeError: Cannot read property 'value' of null\n    \
        at speedy (/home/gbusey/file.js:6:11)\n    \
        at Object.<anonymous> (C:\\app\\file.js:10:1)\n    \
        at node.js:906:3\n    \
        at process.ticks (node:internal/process/task_queues:95:5)\n    \
        at Array.forEach (native)\n    \
        at native\n    \
        at file.js:7\n    \
        at (odd\n    \
        at \n\
        at nowhere";
    let frames = [
        ("/home/gbusey/file.js", 6, "speedy"),
        ("C:\\app\\file.js", 10, "Object.<anonymous>"),
        ("node.js", 906, ""),
        ("node:internal/process/task_queues", 95, "process.ticks"),
        ("native", 0, "Array.forEach"),
        ("native", 0, ""),
        ("file.js", 7, ""),
    ];
    for language in ["javascript", "nodejs", "webjs"] {
        assert_eq!(check(language, trace, &frames), []);
    }
}

#[test]
fn dotnet() {
    let trace = "System.Exception: oops\n   \
        at Shop.Cart.Buy(String card) in /srv/app/Cart.cs:line 12\n   \
        at System.Threading.Tasks.Task.Execute()\r\n   \
        at Other.Call() in C:\\app\\Other.cs\n   \
        at nothing\n  --- End of stack trace ---\n";
    check(
        "dotnet",
        trace,
        &[
            ("/srv/app/Cart.cs", 12, "Shop.Cart.Buy(String card)"),
            ("", 0, "System.Threading.Tasks.Task.Execute()"),
            ("C:\\app\\Other.cs", 0, "Other.Call()"),
        ],
    );
}

#[test]
fn go() {
    let trace = "oops\ngoroutine 1 [running]:\nmain.buy(0xc000010000)\n\t/srv/app/main.go:12 +0x1d\n\
        main.main()\n\t/srv/app/main.go:7\nlast()";
    check(
        "go",
        trace,
        &[
            ("/srv/app/main.go", 12, "main.buy(0xc000010000)"),
            ("/srv/app/main.go", 7, "main.main()"),
            ("", 0, "last()"),
        ],
    );
    check(
        "go",
        "goroutine 1 [running]:\nmain.main()\n\t/a.go:1",
        &[("/a.go", 1, "main.main()")],
    );
    let blank = "goroutine 1 [running]:\nmain.main()\n\t/a.go:1\n\nmain.other()\n\t/b.go:2\n \n";
    let frames = [("/a.go", 1, "main.main()"), ("/b.go", 2, "main.other()")];
    check("go", blank, &frames);
    check("go", "goroutine 1 [running]:\n\n", &[]);
}

#[test]
fn other_languages_are_not_read() {
    check("ruby", "a.rb:1:in `x'\n\tat b(c:1)", &[]);
    check("", "E\n\tat b(c:1)", &[]);
}
