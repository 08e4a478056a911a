package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.dto.InvocationRequest;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.IOError;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/** Takes a function through its snapshot, and answers its invocations. */
final class Service {
    private static final String PREFIX = "/2018-06-01/runtime/";
    /** The agent's word that a snapshot is to be taken. */
    private static final int SNAPSHOT_IS_NEXT = 204;
    /** Where AWS's X-Ray SDK looks for the trace. */
    private static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";

    private final RuntimeApi api;
    private final Function function;
    private final Randomness randomness;

    Service(RuntimeApi api, Function function, Randomness randomness) {
        this.api = api;
        this.function = function;
        this.randomness = randomness;
    }

    /** Does not return. */
    void run() throws IOException {
        for (;;) {
            RuntimeApi.Response next = api.get("/firn/v1/invocation/next");
            if (next.status() == SNAPSHOT_IS_NEXT) {
                passSnapshot();
            } else {
                randomness.renewIfResumed();
                answer(requestOf(next.expect(200)));
            }
        }
    }

    private void passSnapshot() throws IOException {
        try {
            Hooks.beforeCheckpoint();
        } catch (Throwable thrown) {
            report("init/error", "Runtime.BeforeCheckpointError", thrown);
            System.exit(64);
        }
        Memory.tidy();
        randomness.gather();
        api.get(PREFIX + "restore/next").expect(200);
        randomness.renewIfResumed();
        try {
            Hooks.afterRestore();
        } catch (Throwable thrown) {
            report("restore/error", "Runtime.AfterRestoreError", thrown);
            // The agent answers all invocations with this error: there is nothing left to do.
            for (;;) {
                LockSupport.park();
            }
        }
    }

    private void answer(InvocationRequest request) throws IOException {
        byte[] payload;
        try {
            payload = function.handler().call(request).toByteArray();
        } catch (Throwable thrown) {
            byte[] description = Failure.describe(thrown);
            UserFault fault = UserFault.makeUserFault(thrown);
            log(fault.reportableError());
            api.post(PREFIX + "invocation/" + request.getId() + "/error", "Unhandled", description);
            if (fault.fatal || thrown instanceof VirtualMachineError || thrown instanceof IOError) {
                System.exit(1);
            }
            return;
        } finally {
            // The function may have interrupted this thread.
            Thread.interrupted();
        }
        RuntimeApi.Response response = api.post(PREFIX + "invocation/" + request.getId() + "/response", payload);
        // 413 and the like: the agent has told the caller why.
        if (response.status() >= 500) {
            response.expect(202);
        }
    }

    private void report(String path, String errorType, Throwable thrown) throws IOException {
        byte[] description = Failure.describe(thrown);
        log(UserFault.makeUserFault(thrown, true).reportableError());
        api.post(PREFIX + path, errorType, description).expect(202);
    }

    private void log(String text) {
        LogLevel level = function.logger().getLogFormat() == LogFormat.JSON ? LogLevel.ERROR : LogLevel.UNDEFINED;
        function.logger().log(text, level);
    }

    private static InvocationRequest requestOf(RuntimeApi.Response next) {
        Map<String, String> headers = next.headers();
        InvocationRequest request = new InvocationRequest();
        request.setId(headers.get("lambda-runtime-aws-request-id"));
        request.setXrayTraceId(headers.get("lambda-runtime-trace-id"));
        request.setInvokedFunctionArn(headers.get("lambda-runtime-invoked-function-arn"));
        request.setDeadlineTimeInMs(Long.parseLong(headers.getOrDefault("lambda-runtime-deadline-ms", "0")));
        request.setClientContext(headers.get("lambda-runtime-client-context"));
        request.setCognitoIdentity(headers.get("lambda-runtime-cognito-identity"));
        request.setContent(next.body());
        if (request.getXrayTraceId() == null) {
            System.clearProperty(TRACE_PROPERTY);
        } else {
            System.setProperty(TRACE_PROPERTY, request.getXrayTraceId());
        }
        return request;
    }
}
