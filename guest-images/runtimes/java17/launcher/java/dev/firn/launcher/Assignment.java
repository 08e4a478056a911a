package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;
import java.io.ByteArrayInputStream;
import java.util.Map;
import java.util.TreeMap;

/** The function that is to be loaded. */
record Assignment(String handler, String functionName, int memoryMib, Map<String, String> environment) {
    private static final String DEFAULT_HANDLER = "Handler";

    /** Reads the agent's answer. */
    static Assignment parse(RuntimeApi.Response response) {
        Map<?, ?> fields =
                JacksonFactory.getInstance().getSerializer(Map.class).fromJson(new ByteArrayInputStream(response.body()));
        Map<String, String> environment = new TreeMap<>();
        if (fields.get("environment") instanceof Map<?, ?> given) {
            given.forEach((name, value) -> environment.put(name.toString(), value.toString()));
        }
        String entry = text(fields, "entry");
        String handler = text(fields, "handler");
        // What a function is called by whose handler has no dot, or is not named at all.
        if (handler.equals("default")) {
            handler = entry.isEmpty() ? DEFAULT_HANDLER : entry;
        } else if (!entry.isEmpty()) {
            handler = handler.isEmpty() ? entry : entry + "." + handler;
        }
        int memoryMib = fields.get("memoryMib") instanceof Number number ? number.intValue() : 128;
        return new Assignment(handler, text(fields, "functionName"), memoryMib, environment);
    }

    private static String text(Map<?, ?> fields, String name) {
        return fields.get(name) instanceof String text ? text : "";
    }
}
