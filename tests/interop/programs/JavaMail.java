// JavaMail: one Transport, sendMessage as often as COUNT says.
import java.io.FileInputStream;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import javax.mail.Message;
import javax.mail.MessagingException;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;

public class JavaMail {
    static String env(String name) {
        return System.getenv(name);
    }

    static MimeMessage message(Session session) throws Exception {
        MimeBodyPart text = new MimeBodyPart();
        text.setText(Files.readString(Path.of(env("TEXT"))), "utf-8");
        MimeBodyPart attachment = new MimeBodyPart();
        attachment.attachFile(new File(env("ATTACHMENT")));
        MimeMessage message = new MimeMessage(session);
        message.setFrom(new InternetAddress(env("SENDER")));
        message.setRecipients(Message.RecipientType.TO, InternetAddress.parse(env("RECIPIENTS")));
        message.setSubject(env("SUBJECT"));
        message.setContent(new MimeMultipart(text, attachment));
        message.saveChanges();
        return message;
    }

    static String told(Throwable error) {
        StringBuilder told = new StringBuilder();
        while (error != null) {
            told.append(told.length() > 0 ? "; next: " : "");
            told.append(error.getClass().getSimpleName()).append(": ");
            told.append(String.valueOf(error.getMessage()).strip());
            error = error instanceof MessagingException
                ? ((MessagingException) error).getNextException() : null;
        }
        return told.toString().replaceAll("\\s*\n\\s*", " ");
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("version")) {
            System.out.println(Session.class.getPackage().getImplementationVersion());
            return;
        }
        Properties properties = new Properties();
        properties.put("mail.smtp.host", "127.0.0.1");
        properties.put("mail.smtp.port", env("PORT"));
        for (String each : arguments) { // key=value
            String[] pair = each.split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        boolean login = env("SMTP_USER") != null;
        if (login) {
            properties.put("mail.smtp.starttls.required", "true");
            properties.put("mail.smtp.starttls.enable", "true");
            properties.put("mail.smtp.auth", "true");
        }
        Session session = Session.getInstance(properties);
        Transport transport = session.getTransport("smtp");
        for (int number = 0; number < Integer.parseInt(env("COUNT")); number++) {
            if (number > 0) Thread.sleep((long) (1000 * Double.parseDouble(env("PAUSE"))));
            try {
                if (!transport.isConnected()) {
                    if (login) transport.connect(env("SMTP_USER"), env("SMTP_PASSWORD"));
                    else transport.connect();
                }
                MimeMessage message = message(session);
                transport.sendMessage(message, message.getAllRecipients());
                System.out.println("sendMessage() returned");
            } catch (MessagingException error) {
                System.out.println(told(error));
            }
        }
        transport.close();
    }
}
