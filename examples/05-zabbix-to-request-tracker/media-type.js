// Script of a media type of kind webhook in Zabbix: posts one problem, update or recovery to intops.
// Its parameters stand in docs/systems/zabbix.md. Zabbix tries again when it throws; intops drops copies.
var p = JSON.parse(value);

// A macro that Zabbix does not know or cannot fill in stays as it is, or becomes *UNKNOWN*.
function filled(text) {
    return typeof text === 'string' && text !== '' && !/^(\{.*\}|\*?UNKNOWN\*?)$/.test(text);
}

// Seconds since the epoch; older versions have only date and time, which are told in the server's own zone.
function seconds(stamp, date, time) {
    var d, t;
    if (/^[0-9]+$/.test(stamp)) {
        return stamp;
    }
    d = /^(\d{4})\.(\d\d)\.(\d\d)$/.exec(date);
    t = /^(\d\d):(\d\d):(\d\d)$/.exec(time);
    return d && t ? String(Math.floor(new Date(+d[1], d[2] - 1, +d[3], +t[1], +t[2], +t[3]).getTime() / 1000)) : '';
}

function post(url, token, body) {
    var request = new HttpRequest(), status;
    request.addHeader('Content-Type: application/json');
    request.addHeader('Authorization: Bearer ' + token);
    request.post(url, JSON.stringify(body));
    status = request.getStatus();
    if (status < 200 || status >= 300) {
        throw 'intops answered ' + status + '; see the conditions of the Flow';
    }
}

var tags = [], problem, name;

if (!/^https?:\/\//.test(p.url) || !filled(p.token)) {
    throw 'write the address of the Flow into parameter "url" and the token of the Connector into "token"';
}
if (!/^[0-9]+$/.test(p.event_id)) {
    throw 'parameter "event_id" is no number; to test, fill in what the macros would give';
}
if (p.event_source !== '0') {
    throw 'only actions of triggers may use this media type';
}
try {
    tags = JSON.parse(p.tags);
} catch (error) {
    Zabbix.log(4, 'intops: the tags of event ' + p.event_id + ' cannot be read');
}

problem = {
    eventid: p.event_id,
    triggerid: p.trigger_id,
    value: p.event_value,
    update: p.update_status === '1' ? '1' : '0',
    name: p.event_name,
    severity: p.event_nseverity,
    acknowledged: p.ack_status,
    clock: seconds(p.event_timestamp, p.event_date, p.event_time),
    opdata: p.opdata,
    description: p.description,
    url: p.trigger_url,
    tags: tags,
    host: p.host,
    hostName: p.host_name,
    hostIp: p.host_ip
};
if (p.event_value === '0') {
    problem.r_eventid = p.recovery_id;
    problem.r_clock = seconds(p.recovery_timestamp, p.recovery_date, p.recovery_time);
}
if (problem.update === '1') {
    problem.updatedAt = seconds(p.update_timestamp, p.update_date, p.update_time);
    problem.updateAction = p.update_action;
    problem.updateMessage = p.update_message;
    problem.updatedBy = p.update_user;
}
// What is not filled in is left out, but for what intops must see to ask a person.
for (name in problem) {
    if (typeof problem[name] === 'string' && !filled(problem[name])
            && ['eventid', 'triggerid', 'value', 'name', 'severity', 'clock'].indexOf(name) < 0) {
        delete problem[name];
    }
}

post(p.url, p.token, { version: '1', zabbix: filled(p.zabbix_url) ? p.zabbix_url : '', problems: [problem] });
return '{}';
