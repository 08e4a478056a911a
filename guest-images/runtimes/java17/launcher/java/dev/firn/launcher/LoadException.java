package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import java.util.Map;

/** Why a function cannot be loaded. */
final class LoadException extends Exception {
    private static final long serialVersionUID = 1;

    private final String errorType;
    private final transient byte[] report;

    LoadException(String errorType, String message) {
        this(errorType, message, null);
    }

    /** @param cause What the function has thrown; it is reported in place of this exception. */
    LoadException(String errorType, String message, Throwable cause) {
        super(message, cause);
        this.errorType = errorType;
        this.report = cause == null
                ? Failure.json(Map.of("errorMessage", message, "errorType", errorType))
                : Failure.describe(message, cause);
    }

    /** For the agent. */
    String errorType() {
        return errorType;
    }

    /** JSON for the agent. */
    byte[] report() {
        return report;
    }

    /** For the log. */
    String logged() {
        return getCause() == null ? getMessage() : getMessage() + "\n" + UserFault.trace(getCause()).strip();
    }
}
