package dev.firn.launcher;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Options of the Java virtual machine that a function asks for in its environment. The machine runs before there is a function: what can
 * be heeded afterwards is, and everything else is refused.
 */
final class VirtualMachineOptions {
    private static final List<String> VARIABLES = List.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS");
    /** How the machine runs already. */
    private static final List<String> IN_FORCE = List.of(
            "-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xverify:none",
            "-XX:-BytecodeVerificationRemote", "-server");

    private VirtualMachineOptions() {}

    /**
     * Sets the system properties that are asked for.
     *
     * @throws LoadException If there is an option that cannot be heeded.
     */
    static void heed(Map<String, String> environment) throws LoadException {
        Map<String, String> properties = new HashMap<>();
        for (String variable : VARIABLES) {
            List<String> refused = new ArrayList<>();
            for (String option : environment.getOrDefault(variable, "").strip().split("\\s+")) {
                if (option.startsWith("-D") && option.length() > 2) {
                    String[] parts = option.substring(2).split("=", 2);
                    properties.put(parts[0], parts.length == 2 ? parts[1] : "");
                } else if (!option.isEmpty() && !IN_FORCE.contains(option)) {
                    refused.add(option);
                }
            }
            if (!refused.isEmpty()) {
                throw new LoadException("Firn.JavaOptions", variable + " asks for " + String.join(" ", refused)
                        + ", which the runtime java17 cannot heed: its Java virtual machine runs before a function is loaded. "
                        + "Possible are -D options; the heap follows the function's memory.");
            }
        }
        properties.forEach(System::setProperty);
    }
}
