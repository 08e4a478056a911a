package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.api.client.AWSLambda;
import com.amazonaws.services.lambda.runtime.api.client.EventHandlerLoader;
import com.amazonaws.services.lambda.runtime.api.client.HandlerInfo;
import com.amazonaws.services.lambda.runtime.api.client.LambdaEnvironment;
import com.amazonaws.services.lambda.runtime.api.client.LambdaRequestHandler;
import com.amazonaws.services.lambda.runtime.api.client.LambdaRequestHandler.UserFaultHandler;
import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.api.client.logging.LambdaContextLogger;
import com.amazonaws.services.lambda.runtime.api.client.util.LambdaOutputStream;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.File;
import java.io.PrintStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

import static java.nio.charset.StandardCharsets.UTF_8;

/** A loaded function: the handler as AWS's own client calls it, and the logger that its context has. */
record Function(LambdaRequestHandler handler, LambdaContextLogger logger) {
    /**
     * Loads a function from its folder, into this process.
     *
     * @throws LoadException If that fails, with what the function's author can do about it.
     */
    static Function load(Assignment assignment) throws LoadException {
        String root = System.getProperty("firn.root", "/srv");
        LambdaContextLogger logger;
        try {
            VirtualMachineOptions.heed(assignment.environment());
            Environment.set(Environment.of(assignment, root));
            Native.changeFolder(root);
            System.setOut(new PrintStream(new LambdaOutputStream(System.out), false, UTF_8));
            System.setErr(new PrintStream(new LambdaOutputStream(System.err), false, UTF_8));
            logger = new LambdaContextLogger(
                    new LineSink(),
                    LogLevel.fromString(LambdaEnvironment.LAMBDA_LOG_LEVEL),
                    LogFormat.fromString(LambdaEnvironment.LAMBDA_LOG_FORMAT));
            AWSLambda.setupRuntimeLogger(logger);
            URLClassLoader loader = new URLClassLoader(classPath(root), ClassLoader.getSystemClassLoader());
            ClientAccess.setCustomerClassLoader(loader);
            Thread.currentThread().setContextClassLoader(loader);
        } catch (ReflectiveOperationException | MalformedURLException failure) {
            throw new LoadException("Firn.Launcher", "The function cannot be loaded: " + failure, failure);
        }
        WarmUp.withEnvironment();
        return new Function(find(assignment.handler()), logger);
    }

    private static LambdaRequestHandler find(String name) throws LoadException {
        String className = HandlerInfo.className(name);
        HandlerInfo info;
        try {
            info = HandlerInfo.fromString(name, Thread.currentThread().getContextClassLoader());
        } catch (HandlerInfo.InvalidHandlerException invalid) {
            throw new LoadException("Firn.Handler", "There is no handler \"" + name + "\": name it as package.Class::method.");
        } catch (ClassNotFoundException missing) {
            throw new LoadException("java.lang.ClassNotFoundException", "Class not found: " + className
                    + ". It must be at the root of the archive, or in a jar there or in lib; name the handler as package.Class::method.");
        } catch (Throwable thrown) {
            Throwable cause = thrown instanceof ExceptionInInitializerError && thrown.getCause() != null ? thrown.getCause() : thrown;
            throw new LoadException("Firn.Handler", "Error loading class " + className + ": " + cause, cause);
        }
        LambdaRequestHandler handler = EventHandlerLoader.loadEventHandler(info);
        if (handler instanceof UserFaultHandler faulty) {
            UserFault fault = faulty.fault;
            String trace = fault.trace == null ? "" : "\n" + fault.trace.strip();
            throw new LoadException(fault.exception == null ? "Firn.Handler" : fault.exception, fault.msg + trace);
        }
        return handler;
    }

    /** Where classes are looked for: as on AWS in the folder and in the jars of lib, and in jars at the root as well. */
    private static URL[] classPath(String root) throws MalformedURLException {
        List<URL> path = new ArrayList<>();
        path.add(new File(root + "/").toURI().toURL());
        for (String folder : List.of(root + "/lib", "/opt/java/lib", root)) {
            File[] jars = new File(folder).listFiles((parent, name) -> name.endsWith(".jar"));
            if (jars != null) {
                Arrays.sort(jars);
                for (File jar : jars) {
                    path.add(jar.toURI().toURL());
                }
            }
        }
        return path.toArray(new URL[0]);
    }

    /** The client's serializers of events look for the event's classes here. */
    private static final class ClientAccess extends AWSLambda {
        static void setCustomerClassLoader(URLClassLoader loader) {
            customerClassLoader = loader;
        }
    }
}
