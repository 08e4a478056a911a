package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.ArrayList;
import java.util.List;
import org.crac.Core;
import org.crac.Resource;

/** Has hooks before a snapshot and after a restore. */
public class Hooked implements RequestHandler<Object, List<String>> {
    private static final List<String> CALLS = new ArrayList<>();
    private final Resource first = new Hook("first");
    private final Resource second = new Hook("second");

    public Hooked() {
        Core.getGlobalContext().register(first);
        Core.getGlobalContext().register(second);
    }

    @Override
    public List<String> handleRequest(Object event, Context context) {
        return CALLS;
    }

    private record Hook(String name) implements Resource {
        @Override
        public void beforeCheckpoint(org.crac.Context<? extends Resource> context) {
            call("before");
        }

        @Override
        public void afterRestore(org.crac.Context<? extends Resource> context) {
            call("after");
        }

        private void call(String when) {
            if (when.equals(System.getenv("FAIL"))) {
                throw new IllegalStateException(when + " " + name);
            }
            CALLS.add(when + " " + name);
        }
    }
}
