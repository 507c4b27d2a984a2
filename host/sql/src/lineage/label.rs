//! The name PostgreSQL gives an output column without an alias.

use pg_query::protobuf::{
    AExprKind, AIndirection, JsonExprOp, MinMaxOp, SelectStmt, SqlValueFunctionOp, SubLink,
    SubLinkType, XmlExprOp,
};
use pg_query::{Node, NodeEnum};

use super::space::text;

/// A name and whether it is a strong one: a weak one yields to a type's name or to `case`.
enum Label {
    Strong(String),
    Weak(String),
    /// There is no name: the column is `?column?`.
    Nothing,
    /// There is a name, but not one that the text shows.
    Unknown,
}

/// The name of an output column; None where the text does not show it.
pub(super) fn label(value: &Node) -> Option<String> {
    match label_of(value) {
        Label::Strong(name) | Label::Weak(name) => Some(name),
        Label::Nothing => Some("?column?".to_owned()),
        Label::Unknown => None,
    }
}

fn strong(name: &str) -> Label {
    Label::Strong(name.to_owned())
}

#[allow(clippy::wildcard_enum_match_arm, reason = "a node without a name is `?column?`")]
fn label_of(value: &Node) -> Label {
    let Some(node) = &value.node else { return Label::Nothing };
    match node {
        NodeEnum::ColumnRef(column) => last_name(&column.fields).map_or(Label::Nothing, strong),
        NodeEnum::FuncCall(call) => last_name(&call.funcname).map_or(Label::Nothing, strong),
        NodeEnum::AIndirection(indirection) => indirected(indirection),
        NodeEnum::CollateClause(clause) => inner(clause.arg.as_deref()),
        NodeEnum::TypeCast(cast) => match inner(cast.arg.as_deref()) {
            strong @ (Label::Strong(_) | Label::Unknown) => strong,
            Label::Weak(_) | Label::Nothing => cast
                .type_name
                .as_ref()
                .and_then(|name| last_name(&name.names))
                .map_or(Label::Nothing, |name| Label::Weak(name.to_owned())),
        },
        NodeEnum::CaseExpr(case) => match inner(case.defresult.as_deref()) {
            strong @ (Label::Strong(_) | Label::Unknown) => strong,
            Label::Weak(_) | Label::Nothing => Label::Weak("case".to_owned()),
        },
        NodeEnum::SubLink(link) => sub_link(link),
        NodeEnum::AExpr(expr) if expr.kind() == AExprKind::AexprNullif => strong("nullif"),
        NodeEnum::AArrayExpr(_) => strong("array"),
        NodeEnum::RowExpr(_) => strong("row"),
        NodeEnum::CoalesceExpr(_) => strong("coalesce"),
        NodeEnum::MinMaxExpr(expr) => match expr.op() {
            MinMaxOp::IsGreatest => strong("greatest"),
            MinMaxOp::IsLeast => strong("least"),
            MinMaxOp::Undefined => Label::Unknown,
        },
        NodeEnum::GroupingFunc(_) => strong("grouping"),
        NodeEnum::MergeSupportFunc(_) => strong("merge_action"),
        NodeEnum::SqlvalueFunction(function) => value_function(function.op()),
        NodeEnum::XmlExpr(expr) => xml(expr.op()),
        NodeEnum::XmlSerialize(_) => strong("xmlserialize"),
        NodeEnum::JsonParseExpr(_) => strong("json"),
        NodeEnum::JsonScalarExpr(_) => strong("json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => strong("json_serialize"),
        NodeEnum::JsonObjectConstructor(_) => strong("json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => {
            strong("json_array")
        }
        NodeEnum::JsonObjectAgg(_) => strong("json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => strong("json_arrayagg"),
        NodeEnum::JsonFuncExpr(expr) => match expr.op() {
            JsonExprOp::JsonExistsOp => strong("json_exists"),
            JsonExprOp::JsonQueryOp => strong("json_query"),
            JsonExprOp::JsonValueOp => strong("json_value"),
            JsonExprOp::JsonTableOp => strong("json_table"),
            JsonExprOp::Undefined => Label::Unknown,
        },
        _ => Label::Nothing,
    }
}

fn inner(node: Option<&Node>) -> Label {
    node.map_or(Label::Nothing, label_of)
}

/// The last name of a list that may end in `*`.
fn last_name(nodes: &[Node]) -> Option<&str> {
    nodes.iter().rev().find_map(text)
}

fn indirected(indirection: &AIndirection) -> Label {
    match last_name(&indirection.indirection) {
        Some(name) => strong(name),
        None => inner(indirection.arg.as_deref()),
    }
}

fn sub_link(link: &SubLink) -> Label {
    match link.sub_link_type() {
        SubLinkType::ExistsSublink => strong("exists"),
        SubLinkType::ArraySublink => strong("array"),
        SubLinkType::ExprSublink => match link.subselect.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => first_column(select),
            _ => Label::Unknown,
        },
        SubLinkType::AllSublink | SubLinkType::AnySublink | SubLinkType::RowcompareSublink => {
            Label::Nothing
        }
        SubLinkType::MultiexprSublink | SubLinkType::CteSublink | SubLinkType::Undefined => {
            Label::Unknown
        }
    }
}

fn first_column(select: &SelectStmt) -> Label {
    if let Some(first) = &select.larg {
        return first_column(first);
    }
    if !select.values_lists.is_empty() {
        return strong("column1");
    }
    let Some(Some(NodeEnum::ResTarget(target))) = select.target_list.first().map(|n| &n.node)
    else {
        return Label::Unknown;
    };
    if !target.name.is_empty() {
        return strong(&target.name);
    }
    match target.val.as_deref() {
        Some(value) if !super::expression::is_star(value) => match label_of(value) {
            Label::Strong(name) | Label::Weak(name) => Label::Strong(name),
            Label::Nothing => strong("?column?"),
            Label::Unknown => Label::Unknown,
        },
        Some(_) | None => Label::Unknown,
    }
}

fn value_function(op: SqlValueFunctionOp) -> Label {
    strong(match op {
        SqlValueFunctionOp::SvfopCurrentDate => "current_date",
        SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => {
            "current_time"
        }
        SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopCurrentTimestampN => {
            "current_timestamp"
        }
        SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => "localtime",
        SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => {
            "localtimestamp"
        }
        SqlValueFunctionOp::SvfopCurrentRole => "current_role",
        SqlValueFunctionOp::SvfopCurrentUser => "current_user",
        SqlValueFunctionOp::SvfopUser => "user",
        SqlValueFunctionOp::SvfopSessionUser => "session_user",
        SqlValueFunctionOp::SvfopCurrentCatalog => "current_catalog",
        SqlValueFunctionOp::SvfopCurrentSchema => "current_schema",
        SqlValueFunctionOp::SqlvalueFunctionOpUndefined => return Label::Unknown,
    })
}

fn xml(op: XmlExprOp) -> Label {
    strong(match op {
        XmlExprOp::IsXmlconcat => "xmlconcat",
        XmlExprOp::IsXmlelement => "xmlelement",
        XmlExprOp::IsXmlforest => "xmlforest",
        XmlExprOp::IsXmlparse => "xmlparse",
        XmlExprOp::IsXmlpi => "xmlpi",
        XmlExprOp::IsXmlroot => "xmlroot",
        XmlExprOp::IsXmlserialize => "xmlserialize",
        // `IS DOCUMENT` has no name.
        XmlExprOp::IsDocument => return Label::Nothing,
        XmlExprOp::Undefined => return Label::Unknown,
    })
}
