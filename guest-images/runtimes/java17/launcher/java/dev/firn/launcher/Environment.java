package dev.firn.launcher;

import java.lang.reflect.Field;
import java.util.Map;
import java.util.TimeZone;
import java.util.TreeMap;

/** The variables of the environment, which a function brings when the process has long been started. */
final class Environment {
    private static final String REGION = "local";

    private Environment() {}

    /** What functions written for AWS Lambda find, and the function's own variables. */
    static Map<String, String> of(Assignment assignment, String root) {
        String name = assignment.functionName();
        Map<String, String> given = assignment.environment();
        String region = given.getOrDefault("AWS_REGION", given.getOrDefault("AWS_DEFAULT_REGION", REGION));
        Map<String, String> variables = new TreeMap<>();
        variables.put("AWS_DEFAULT_REGION", region);
        variables.put("AWS_EXECUTION_ENV", "AWS_Lambda_java17");
        variables.put("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", Integer.toString(assignment.memoryMib()));
        variables.put("AWS_LAMBDA_FUNCTION_NAME", name);
        variables.put("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        variables.put("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start");
        variables.put("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/" + name);
        variables.put("AWS_LAMBDA_LOG_STREAM_NAME", "[$LATEST]" + name);
        variables.put("AWS_REGION", region);
        variables.put("LAMBDA_RUNTIME_DIR", root);
        variables.put("LAMBDA_TASK_ROOT", root);
        variables.put("LD_LIBRARY_PATH", root + ":" + root + "/lib:/opt/lib");
        variables.put("TZ", ":UTC");
        variables.put("_HANDLER", assignment.handler());
        variables.putAll(given);
        return variables;
    }

    /** Sets variables for Java code, for the programs that it starts, and for native libraries. */
    static void set(Map<String, String> variables) throws ReflectiveOperationException {
        Field unmodifiable = Class.forName("java.lang.ProcessEnvironment").getDeclaredField("theUnmodifiableEnvironment");
        unmodifiable.setAccessible(true);
        Object view = unmodifiable.get(null);
        Field inner = Class.forName("java.util.Collections$UnmodifiableMap").getDeclaredField("m");
        inner.setAccessible(true);
        @SuppressWarnings("unchecked")
        Map<String, String> modifiable = (Map<String, String>) inner.get(view);
        modifiable.putAll(variables);
        variables.forEach(Native::setVariable);
        String zone = variables.get("TZ");
        if (zone != null) {
            TimeZone.setDefault(TimeZone.getTimeZone(zone.startsWith(":") ? zone.substring(1) : zone));
        }
    }
}
