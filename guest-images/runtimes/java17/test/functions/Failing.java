package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;

/** Fails in every way. */
public class Failing implements RequestHandler<Map<String, String>, String> {
    @Override
    public String handleRequest(Map<String, String> event, Context context) {
        switch (event.getOrDefault("how", "")) {
            case "cause":
                throw new IllegalStateException("outside", new IllegalArgumentException("inside"));
            case "exit":
                System.exit(3);
                return null;
            case "overflow":
                return handleRequest(event, context);
            default:
                return "fine";
        }
    }

    /** Cannot be loaded. */
    public static class AtLoad implements RequestHandler<String, String> {
        static {
            if (true) {
                throw new IllegalStateException("not today");
            }
        }

        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }

    /** Cannot be made. */
    public static class Made implements RequestHandler<String, String> {
        public Made() {
            throw new IllegalStateException("not made");
        }

        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }
}
