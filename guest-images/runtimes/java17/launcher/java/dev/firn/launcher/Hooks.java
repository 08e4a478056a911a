package dev.firn.launcher;

import com.amazonaws.services.lambda.crac.CheckpointException;
import com.amazonaws.services.lambda.crac.Core;
import com.amazonaws.services.lambda.crac.RestoreException;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.JniHelper;

/** The hooks of CRaC that a function has registered, by org.crac or by AWS's own classes. */
final class Hooks {
    static {
        // AWS's context empties the cache of DNS with the native part of the client.
        JniHelper.load();
        // Where org.crac finds the implementation.
        System.setProperty("org.crac.Core.Compat", "com.amazonaws.services.lambda.crac");
    }

    private Hooks() {}

    /** Makes them ready for functions, which register theirs while they are loaded. */
    static void prepare() {
        Core.getGlobalContext();
    }

    /** Runs them, the last registered first; then collects garbage. Throws what the first one that failed has thrown. */
    static void beforeCheckpoint() throws Throwable {
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
        } catch (CheckpointException exception) {
            throw firstOf(exception);
        }
    }

    /** Runs them, the first registered first. Throws what the first one that failed has thrown. */
    static void afterRestore() throws Throwable {
        try {
            Core.getGlobalContext().afterRestore(null);
        } catch (RestoreException exception) {
            throw firstOf(exception);
        }
    }

    private static Throwable firstOf(Exception exception) {
        Throwable[] suppressed = exception.getSuppressed();
        if (suppressed.length == 0) {
            return exception;
        }
        Throwable first = suppressed[0];
        for (int index = 1; index < suppressed.length; index += 1) {
            if (suppressed[index] != first) {
                first.addSuppressed(suppressed[index]);
            }
        }
        return first;
    }
}
