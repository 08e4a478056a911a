package dev.firn.launcher;

import java.io.IOException;
import java.nio.file.Path;

/**
 * The program of the runtime: it is started before there is a function, waits for one, loads it and serves it.
 *
 * <p>Two snapshots are taken of it while it waits: the base, without a function, and that of a function.
 */
public final class Launcher {
    private Launcher() {}

    public static void main(String[] arguments) throws Exception {
        RuntimeApi api = new RuntimeApi(System.getenv("AWS_LAMBDA_RUNTIME_API"));
        Randomness randomness = new Randomness(Path.of(System.getProperty("firn.generation", "/run/firn/generation")));
        WarmUp.withoutFunction();
        Memory.tidy();
        randomness.gather();
        Assignment assignment = Assignment.parse(api.get("/firn/v1/load/next").expect(200));
        randomness.renewIfResumed();
        Function function;
        try {
            function = Function.load(assignment);
        } catch (LoadException failure) {
            System.err.println(failure.logged());
            api.post("/2018-06-01/runtime/init/error", failure.errorType(), failure.report()).expect(202);
            System.exit(1);
            return;
        }
        new Service(api, function, randomness).run();
    }
}
