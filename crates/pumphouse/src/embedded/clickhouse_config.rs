//! What our ClickHouse is configured with: a normal server's pools, grants and logs of parts and queries, three users.
//! Does not start it.

use std::path::Path;

/// Merges that a server makes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merges {
    /// Threads that merge.
    pub threads: u32,
    /// Merges at once for each of them.
    pub each: u32,
}

impl Default for Merges {
    /// A packaged server's.
    fn default() -> Self {
        Self { threads: 16, each: 2 }
    }
}

/// The server's file. The library's own pools are tiny (2 merges at once): these are a packaged server's.
pub(super) fn server(home: &Path, [http_port, tcp_port]: [u16; 2], merges: Merges) -> String {
    let Merges { threads, each } = merges;
    let merge_tree = merge_tree(merges);
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
  <background_pool_size>{threads}</background_pool_size>
  <background_merges_mutations_concurrency_ratio>{each}</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>128</background_schedule_pool_size>
  <background_move_pool_size>8</background_move_pool_size>
  <background_fetches_pool_size>16</background_fetches_pool_size>
  <background_common_pool_size>8</background_common_pool_size>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
  </access_control_improvements>
{merge_tree}  <part_log>
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

/// Tables can't be made where their defaults ask for more free merges than there are.
fn merge_tree(merges: Merges) -> String {
    if merges == Merges::default() {
        return String::new();
    }
    let free = merges.threads * merges.each / 2;
    let settings = ["lower_max_size_of_merge", "execute_mutation", "execute_optimize_entire_partition"];
    let settings = settings.map(|setting| {
        let name = format!("number_of_free_entries_in_pool_to_{setting}");
        format!("    <{name}>{free}</{name}>\n")
    });
    format!("  <merge_tree>\n{}  </merge_tree>\n", settings.concat())
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
