package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Errors in the form of AWS Lambda: errorMessage, errorType, stackTrace and cause. */
final class Failure {
    private static final int DEEPEST_CAUSE = 10;

    private Failure() {}

    /** JSON that describes what a function has thrown. */
    static byte[] describe(Throwable thrown) {
        return describe(messageOf(thrown), thrown);
    }

    /** The same, with a message of one's own. */
    static byte[] describe(String message, Throwable thrown) {
        return json(fields(message, UserFault.filterStackTrace(thrown), 0));
    }

    static byte[] json(Map<String, Object> fields) {
        ByteArrayOutputStream output = new ByteArrayOutputStream();
        JacksonFactory.getInstance().getSerializer(Map.class).toJson(fields, output);
        return output.toByteArray();
    }

    private static Map<String, Object> fields(String message, Throwable thrown, int depth) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("errorMessage", message);
        if (thrown instanceof UserFault fault) {
            if (fault.exception != null) {
                fields.put("errorType", fault.exception);
            }
            return fields;
        }
        fields.put("errorType", thrown.getClass().getName());
        fields.put("stackTrace", Arrays.stream(thrown.getStackTrace()).map(StackTraceElement::toString).toList());
        Throwable cause = thrown.getCause();
        if (cause != null && depth < DEEPEST_CAUSE) {
            fields.put("cause", fields(messageOf(cause), cause, depth + 1));
        }
        return fields;
    }

    private static String messageOf(Throwable thrown) {
        if (thrown instanceof UserFault fault) {
            return fault.msg;
        }
        String message = thrown.getLocalizedMessage();
        return message == null ? thrown.getClass().getName() : message;
    }
}
