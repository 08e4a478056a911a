package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.api.client.logging.LogSink;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.util.Arrays;

/** Where the logger of a context writes to: each message is at least a line, whether it ends like one or not. */
final class LineSink implements LogSink {
    @Override
    public void log(byte[] message) {
        log(LogLevel.UNDEFINED, LogFormat.TEXT, message);
    }

    @Override
    public synchronized void log(LogLevel level, LogFormat format, byte[] message) {
        byte[] line = message;
        if (message.length == 0 || message[message.length - 1] != '\n') {
            line = Arrays.copyOf(message, message.length + 1);
            line[message.length] = '\n';
        }
        System.out.write(line, 0, line.length);
    }

    @Override
    public void close() {}
}
