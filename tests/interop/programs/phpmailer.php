<?php
// PHPMailer with SMTPKeepAlive.
require 'libphp-phpmailer/autoload.php';

$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '127.0.0.1';
$mail->Port = (int) getenv('PORT');
$mail->CharSet = 'UTF-8';
$mail->SMTPKeepAlive = true;
if (getenv('SMTP_USER')) {
    $mail->SMTPSecure = 'tls';
    $mail->SMTPAuth = true;
    $mail->Username = getenv('SMTP_USER');
    $mail->Password = getenv('SMTP_PASSWORD');
    $mail->SMTPOptions = ['ssl' => ['cafile' => getenv('CA_FILE')]];
} else {
    $mail->SMTPAutoTLS = false;
}
for ($number = 0; $number < (int) getenv('COUNT'); $number++) {
    if ($number) usleep((int) (1e6 * (float) getenv('PAUSE')));
    try {
        $mail->clearAllRecipients();
        $mail->clearAttachments();
        $mail->setFrom(getenv('SENDER'));
        foreach (explode(',', getenv('RECIPIENTS')) as $address) $mail->addAddress($address);
        $mail->Subject = getenv('SUBJECT');
        $mail->Body = file_get_contents(getenv('TEXT'));
        $mail->addAttachment(getenv('ATTACHMENT'));
        $result = $mail->send();
        echo 'send() returned ', var_export($result, true), "\n";
    } catch (Exception $error) {
        echo get_class($error), ': ', $error->getMessage(), "\n";
    }
}
