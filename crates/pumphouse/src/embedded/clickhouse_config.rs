//! What our ClickHouse is configured with: a normal server's pools, grants and logs of parts and queries, three users.
//! Does not start it.

use std::path::Path;

/// The server's file. The library's own pools are tiny (2 merges at once): these are a packaged server's.
pub(super) fn server(home: &Path, http_port: u16, tcp_port: u16) -> String {
    let data = home.join("data");
    let users = home.join("users.xml");
    format!(
        "<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http_port}</http_port>
  <tcp_port>{tcp_port}</tcp_port>
  <path>{data}/</path>
  <users_config>{users}</users_config>
  <log-level>warning</log-level>
  <logger><level>warning</level><console>1</console></logger>
  <background_pool_size>16</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>128</background_schedule_pool_size>
  <background_move_pool_size>8</background_move_pool_size>
  <background_fetches_pool_size>16</background_fetches_pool_size>
  <background_common_pool_size>8</background_common_pool_size>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
  </access_control_improvements>
  <part_log>
    <database>system</database><table>part_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
  </part_log>
  <query_log>
    <database>system</database><table>query_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
  </query_log>
</clickhouse>
",
        data = data.display(),
        users = users.display()
    )
}

/// The users' file: `default` may do everything, `reader` (password `reader`) may only read, `blind` (password `blind`)
/// may do everything but see how large parts are.
pub(super) const USERS: &str = "<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
      <access_management>1</access_management>
    </default>
    <reader>
      <password>reader</password><networks><ip>::/0</ip></networks><profile>default</profile>
      <quota>default</quota><grants><query>GRANT SELECT ON *.*</query></grants>
    </reader>
    <blind>
      <password>blind</password><networks><ip>::/0</ip></networks><profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT ALL ON *.*</query><query>REVOKE SELECT(bytes_on_disk) ON system.parts</query></grants>
    </blind>
  </users>
</clickhouse>
";
