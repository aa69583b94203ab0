# Ruby's Mail gem, which Rails' Action Mailer uses.
require 'mail'

options = { address: '127.0.0.1', port: ENV['PORT'].to_i, domain: 'app.example' }
if ENV['SMTP_USER']
  options.merge!(user_name: ENV['SMTP_USER'], password: ENV['SMTP_PASSWORD'],
                 authentication: :plain, enable_starttls_auto: true, ca_file: ENV['CA_FILE'])
else
  options[:enable_starttls_auto] = false
end
Mail.defaults { delivery_method :smtp, options }
begin
  mail = Mail.new(from: ENV['SENDER'], to: ENV['RECIPIENTS'].split(','), subject: ENV['SUBJECT'])
  mail.body = File.read(ENV['TEXT'], encoding: 'utf-8')
  mail.charset = 'UTF-8'
  mail.add_file(ENV['ATTACHMENT'])
  mail.deliver!
  puts 'deliver! returned'
rescue StandardError => e
  puts "#{e.class}: #{e.message.strip}"
end
