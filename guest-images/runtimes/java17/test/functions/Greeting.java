package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/** Tells what a function finds around it. */
public class Greeting implements RequestHandler<Greeting.Event, Map<String, Object>> {
    private static final String AT_LOAD = System.getenv("MINE");

    public static class Event {
        private String name;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }
    }

    @Override
    public Map<String, Object> handleRequest(Event event, Context context) {
        System.out.println("a line");
        System.err.println("a complaint");
        context.getLogger().log("logged\n");
        context.getLogger().log("bare");
        Map<String, Object> answer = new TreeMap<>();
        answer.put("greeting", "Hello, " + event.getName() + "!");
        answer.put("atLoad", AT_LOAD);
        answer.put("function", context.getFunctionName());
        answer.put("memory", context.getMemoryLimitInMB());
        answer.put("requestId", context.getAwsRequestId());
        answer.put("remains", context.getRemainingTimeInMillis() > 0);
        answer.put("arn", context.getInvokedFunctionArn());
        answer.put("client", context.getClientContext() == null ? null : context.getClientContext().getCustom());
        answer.put("handler", System.getenv("_HANDLER"));
        answer.put("property", System.getProperty("mine"));
        answer.put("loader", Thread.currentThread().getContextClassLoader() == getClass().getClassLoader());
        try {
            answer.put("file", Files.readString(Path.of("beside.txt")).strip());
            Process child = new ProcessBuilder("/bin/sh", "-c", "echo $MINE; pwd").start();
            answer.put("child", new String(child.getInputStream().readAllBytes()).split("\n"));
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        return answer;
    }

    /** A handler of no interface. */
    public int length(Event event) {
        return event.getName().length();
    }
}
