# Ruby's Net::SMTP: send_message with a whole message.
require 'net/smtp'

def told
  yield
rescue StandardError => e
  puts "#{e.class}: #{e.message.strip}"
end

told do
  smtp = Net::SMTP.new('127.0.0.1', ENV['PORT'].to_i)
  if ENV['SMTP_USER']
    context = OpenSSL::SSL::SSLContext.new
    context.ca_file = ENV['CA_FILE']
    context.verify_mode = OpenSSL::SSL::VERIFY_PEER
    smtp.enable_starttls(context)
  else
    smtp.disable_starttls
  end
  smtp.start('app.example', ENV['SMTP_USER'], ENV['SMTP_PASSWORD'], :plain) do
    ENV['COUNT'].to_i.times do |number|
      sleep ENV['PAUSE'].to_f if number.positive?
      told do
        reply = smtp.send_message(File.binread(ENV['MESSAGE']), ENV['SENDER'],
                                  ENV['RECIPIENTS'].split(','))
        puts "send_message() returned status #{reply.status}"
      end
    end
  end
end
