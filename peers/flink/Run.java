import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** Runs the statements of a file in this process, on Flink's mini-cluster; ends when the last one has ended. */
public final class Run {
    private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)}");

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        Map<String, String> variables = variables();
        Configuration configuration = GlobalConfiguration.loadConfiguration(folder.toString());
        String checkpoints = Path.of(variables.get("STATE")).toAbsolutePath().toUri().toString();
        configuration.setString("execution.checkpointing.dir", checkpoints);
        EnvironmentSettings settings = EnvironmentSettings.newInstance().withConfiguration(configuration).build();
        TableEnvironment environment = TableEnvironment.create(settings);
        TableResult last = null;
        String statements = Files.readString(folder.resolve(variables.getOrDefault("STATEMENTS", "averages.sql")));
        for (String statement : fill(statements, variables).split(";\\s*(\n|$)")) {
            last = environment.executeSql(statement);
        }
        last.await();
    }

    /** The environment's, and the parts of DATABASE_URL, which JDBC wants in another form. */
    private static Map<String, String> variables() {
        Map<String, String> variables = new HashMap<>(System.getenv());
        URI url = URI.create(variables.get("DATABASE_URL"));
        String[] login = url.getUserInfo().split(":", 2);
        variables.put("JDBC_URL", "jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath());
        variables.put("JDBC_USER", login[0]);
        variables.put("JDBC_PASSWORD", login[1]);
        return variables;
    }

    /** Replaces each ${NAME} by the value of that variable. */
    private static String fill(String text, Map<String, String> variables) {
        return VARIABLE.matcher(text).replaceAll(found -> {
            String value = variables.get(found.group(1));
            if (value == null) {
                throw new IllegalArgumentException(found.group(1) + " is not set");
            }
            return Matcher.quoteReplacement(value.replace("'", "''"));
        });
    }
}
